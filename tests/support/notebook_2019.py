"""The notebook of 2019, which this package revives: its cells, and a runner that shows what each gives.

The notebook read ten folders of handwritten digits, trained a logistic regression on the features of InceptionV3, and
evaluated it with Spark ML and scikit-learn. The cells below make the calls that it made, in its order and with its
arguments. One line is new, `import sparkdl.legacy`; where images are and the network's name are variables.

`python notebook_2019.py FOLDER [NETWORK]` runs it on a folder of folders `0` to `9` and prints cells and outputs.
"""

from __future__ import annotations

import ast
import contextlib
import io
import sys
from collections.abc import Mapping, Sequence
from typing import Any

CELLS: Sequence[str] = (
    """\
from functools import reduce

import matplotlib.pyplot as plt
import numpy as np
from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.image import ImageSchema
from pyspark.sql import SparkSession
from pyspark.sql.functions import lit
from sklearn.metrics import classification_report, confusion_matrix, roc_auc_score
from sklearn.preprocessing import LabelBinarizer

import sparkdl.legacy
from sparkdl import DeepImageFeaturizer
""",
    """\
spark = SparkSession.builder.appName("SparkNet:Bangla Digit Recognizer").getOrCreate()
""",
    """\
digits = [ImageSchema.readImages(f"{folder}/{digit}").withColumn("label", lit(digit)) for digit in range(10)]
df = reduce(lambda first, second: first.union(second), digits)
df = df.repartition(partitions)
train, test = df.randomSplit([0.8, 0.2], 42)
df.toPandas().size
""",
    """\
df.printSchema()
""",
    """\
featurizer = DeepImageFeaturizer(inputCol="image", outputCol="features", modelName=network)
lr = LogisticRegression(maxIter=5, regParam=0.03, elasticNetParam=0.5, labelCol="label")
sparkdn = Pipeline(stages=[featurizer, lr])
spark_model = sparkdn.fit(train)
""",
    """\
evaluator = MulticlassClassificationEvaluator()
transform_test = spark_model.transform(test)
for name in ("f1", "weightedPrecision", "weightedRecall", "accuracy"):
    print(name, round(evaluator.evaluate(transform_test, {evaluator.metricName: name}), 4))
""",
    """\
y_true = transform_test.select("label").toPandas()
y_pred = transform_test.select("prediction").toPandas()
cnf_matrix = confusion_matrix(y_true, y_pred, labels=range(10))
plt.figure(figsize=(7, 7))
plt.imshow(cnf_matrix, interpolation="nearest", cmap=plt.cm.GnBu)
cnf_matrix
""",
    """\
print(classification_report(y_true, y_pred, target_names=[f"Class {digit}" for digit in range(10)]))
""",
    """\
binarizer = LabelBinarizer().fit(y_true)
round(roc_auc_score(binarizer.transform(y_true), binarizer.transform(y_pred), average="macro"), 4)
""",
    """\
transform_test.columns
""",
    """\
transform_test.select("image", "prediction", "label").show(5)
""",
)


def run_cells(variables: Mapping[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """Run the cells in one namespace; return the output of each, and the namespace.

    Parameters
    ----------
    variables
        `folder`, of the images; `network`, a `modelName`; `partitions`, of the DataFrame (the notebook had 200).
    """
    namespace = dict(variables)
    outputs = []
    for cell in CELLS:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            value = _run(cell, namespace)
        shown = [printed.getvalue().rstrip(), "" if value is None else repr(value)]
        outputs.append("\n".join(part for part in shown if part))
    return outputs, namespace


def _run(cell: str, namespace: dict[str, Any]) -> object:
    """Run a cell and return the value of its last line, as a notebook shows it."""
    body = ast.parse(cell).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), namespace)
    if not isinstance(last, ast.Expr):
        return None
    shown: object = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace)
    return shown


def _main(folder: str, network: str = "InceptionV3") -> None:
    import matplotlib as mpl

    from sparkdl.spark.session import spark_session

    mpl.use("Agg")
    spark_session("notebook")
    outputs, _ = run_cells({"folder": folder, "network": network, "partitions": 8})
    for cell, output in zip(CELLS, outputs, strict=True):
        sys.stdout.write(f"{cell}\n{output}\n\n")


if __name__ == "__main__":
    _main(*sys.argv[1:])
