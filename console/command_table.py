"""The sub-commands of `sparkdl`."""

from __future__ import annotations

from dataclasses import dataclass

_MODELS, _STREAMS, _SETUP = "Models", "Streams", "Set-up"
TRY = "Try it"


@dataclass(frozen=True)
class SubCommand:
    """A sub-command.

    Attributes
    ----------
    place
        `MODULE:ATTRIBUTE` of its function, or of the `typer.Typer` of a group. The module is imported only if the
        command is the one that runs.
    group
        Its heading in the help of `sparkdl`.
    summary
        What it does, in one line of the help.
    has_settings
        Whether its options can be set by the environment and the settings file.
    """

    place: str
    group: str
    summary: str
    has_settings: bool = True


COMMANDS = {
    "demo": SubCommand("console.commands.demo:demo", TRY, "Train, stream, produce and show results in one run."),
    "train": SubCommand("console.commands.train:train", _MODELS, "Train a model on labelled images."),
    "evaluate": SubCommand("console.commands.evaluate:evaluate", _MODELS, "Measure a model, or compare two."),
    "predict": SubCommand("console.commands.predict:predict", _MODELS, "Classify image files without a stream."),
    "models": SubCommand("console.commands.models:app", _MODELS, "List, promote, import and export models."),
    "stream": SubCommand("console.commands.stream:stream", _STREAMS, "Classify images as they arrive."),
    "produce": SubCommand("console.commands.produce:produce", _STREAMS, "Send images to a directory or a topic."),
    "predictions": SubCommand("console.commands.predictions:predictions", _STREAMS, "Read the results of a stream."),
    "kafka": SubCommand("console.commands.kafka:app", _STREAMS, "Run a local Kafka broker for development."),
    "doctor": SubCommand("console.commands.doctor:doctor", _SETUP, "Check the installation and the services."),
    "init": SubCommand("console.commands.init:init", _SETUP, "Write a commented sparkdl.toml.", has_settings=False),
    "completion": SubCommand(
        "console.commands.completion:completion", _SETUP, "Print a completion script for a shell.", has_settings=False
    ),
}
"""Each sub-command by its name, in the order of the help."""
