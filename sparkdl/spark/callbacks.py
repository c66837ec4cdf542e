"""Authentication of calls from Java into this process's Python, which py4j omits in the mode that Spark uses.

For `foreachBatch` the JVM calls Python over a TCP port on the loopback interface. Python's side can require a token,
but py4j 0.10.9 drops the JVM's own token when the port is set (`PythonClient.copyWith`). Then neither side uses one,
and every user of the machine can call functions of the driver.
"""

from __future__ import annotations

from typing import Any

from sparkdl.errors import SparkdlError
from sparkdl.spark.private import find

_CLEAN_UP_SECONDS = 30  # py4j's own value (`CallbackClient.DEFAULT_MIN_CONNECTION_TIME`)


def require_token(gateway: Any) -> None:
    """Accept calls only from the JVM of `gateway`: both sides use the token that protects the other direction.

    Can be called repeatedly, also after calls were made without a token.

    Parameters
    ----------
    gateway
        `sparkdl.spark.private.gateway()`, in either threading mode of pyspark.

    Raises
    ------
    SparkdlError
        If the installed py4j differs from the supported one.
    """
    token = gateway.gateway_parameters.auth_token
    parameters = gateway.callback_server_parameters
    if parameters.auth_token == token:
        return
    find("pyspark.java_gateway.ensure_callback_server_started")(gateway)
    try:
        _give_token_to_java(gateway, token)
    except Exception as error:
        raise SparkdlError(f"calls from Java cannot be authenticated with this version of py4j: {error}") from error
    parameters.auth_token = token  # read again for each connection


def _give_token_to_java(gateway: Any, token: str) -> None:
    """Replace the JVM's client for this Python process by one with the token."""
    jvm = gateway.jvm
    server = find("py4j.java_gateway.JavaObject")("GATEWAY_SERVER", gateway._gateway_client)
    java_gateway = server.getGateway()
    client = java_gateway.getCallbackClient()
    if client.getClass().getName() != "py4j.PythonClient":
        return  # the other threading mode, whose client keeps its token
    with_token = jvm.py4j.PythonClient(
        java_gateway,
        None,
        client.getPort(),
        client.getAddress(),
        _CLEAN_UP_SECONDS,
        jvm.java.util.concurrent.TimeUnit.SECONDS,
        jvm.javax.net.SocketFactory.getDefault(),
        server,
        True,
        client.getReadTimeout(),
        token,
    )
    field = java_gateway.getClass().getDeclaredField("cbClient")
    field.setAccessible(True)
    field.set(java_gateway, with_token)
    client.shutdown()
