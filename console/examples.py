"""Examples in the help of each command."""

from __future__ import annotations

EXAMPLES = {
    "sparkdl": (
        "sparkdl demo",
        "sparkdl train --data digits/",
        "sparkdl stream --source incoming/ --sink parquet:out --checkpoint state",
    ),
    "sparkdl train": (
        "sparkdl train --data digits/",
        "sparkdl train --data photos/ --recipe photos --models shared/models",
        "sparkdl train --data labels.csv --image-column file --label-column class",
        "sparkdl train --data samples --set max_iter=20 --set augmentations=4",
    ),
    "sparkdl evaluate": (
        "sparkdl evaluate --model models --data test/ --out report",
        "sparkdl evaluate --model models --against other/models --data test/",
    ),
    "sparkdl predict": (
        "sparkdl predict photo.jpg scans/",
        "sparkdl predict scans/ --model shared/models --format json",
    ),
    "sparkdl stream": (
        "sparkdl stream --source incoming --sink parquet:out --checkpoint state",
        "sparkdl stream --source kafka://localhost:9092/images \\",
        "  --sink kafka://localhost:9092/predictions --checkpoint state",
        "sparkdl stream --config production.toml --http 8080",
        "SPARKDL_TRIGGER=500ms sparkdl stream --available-now",
    ),
    "sparkdl produce": (
        "sparkdl produce --data digits/ --to incoming --rate 20",
        "sparkdl produce --data samples --to kafka://localhost:9092/images --loop",
    ),
    "sparkdl predictions": (
        "sparkdl predictions out",
        "sparkdl predictions out --summary",
        "sparkdl predictions out --dead-letters --export failed/",
        "sparkdl predictions kafka://localhost:9092/predictions --follow",
    ),
    "sparkdl models": (
        "sparkdl models list",
        "sparkdl models promote VERSION",
        "sparkdl models import net.onnx --labels labels.txt --normalize imagenet",
    ),
    "sparkdl models list": ("sparkdl models list --format json",),
    "sparkdl models show": ("sparkdl models show", "sparkdl models show VERSION --models shared/models"),
    "sparkdl models promote": ("sparkdl models promote VERSION",),
    "sparkdl models verify": ("sparkdl models verify",),
    "sparkdl models import": (
        "sparkdl models import net.onnx --labels labels.txt --normalize imagenet",
        "sparkdl models import hf:OWNER/NAME",
        "sparkdl models import encoder.onnx --normalize unit --backbone encoder",
    ),
    "sparkdl models export": (
        "sparkdl models export current --to onnx model.onnx",
        "sparkdl models export VERSION --to mlflow:digits --alias champion",
    ),
    "sparkdl kafka": (
        "sparkdl kafka start",
        "sparkdl kafka stop",
    ),
    "sparkdl kafka start": ("sparkdl kafka start --port 9092", "sparkdl kafka start --foreground"),
    "sparkdl kafka stop": ("sparkdl kafka stop",),
    "sparkdl kafka status": ("sparkdl kafka status --json",),
    "sparkdl demo": ("sparkdl demo", "sparkdl demo --kafka", "sparkdl demo --data digits/ --out demo"),
    "sparkdl doctor": (
        "sparkdl doctor",
        "sparkdl doctor --kafka broker.example:9092",
        "sparkdl doctor --json",
    ),
    "sparkdl init": ("sparkdl init", "sparkdl init project/"),
    "sparkdl completion": (
        'eval "$(sparkdl completion bash)"',
        "sparkdl completion zsh > ~/.zfunc/_sparkdl",
        "sparkdl completion fish > ~/.config/fish/completions/sparkdl.fish",
    ),
}
"""Lines of examples, by the path of the command; a line that ends with a backslash continues."""
