"""Authentication of calls from Java into this process's Python, which py4j leaves open in the mode that Spark uses.

`foreachBatch` has the JVM call Python over a TCP port on the loopback interface. Python's side can ask for a token, but
py4j 0.10.9 forgets the JVM's own token when it is told the port (`PythonClient.copyWith`), so that neither side uses
one, and every user of the machine can call functions of the driver.
"""

from __future__ import annotations

from typing import Any

from sparkdl.errors import SparkdlError
from sparkdl.spark.private import find

_CLEAN_UP_SECONDS = 30  # as py4j has it (`CallbackClient.DEFAULT_MIN_CONNECTION_TIME`)


def require_token(gateway: Any) -> None:
    """Let Python obey the JVM of `gateway` alone: both sides use the token that guards the other direction.

    It can be called again, and after calls were made without a token.

    Parameters
    ----------
    gateway
        `sparkdl.spark.private.gateway()`, of either threading mode of pyspark.

    Raises
    ------
    SparkdlError
        If the installed py4j differs from the one that this was written for.
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
    """Replace the JVM's client of this Python by one that has the token."""
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
