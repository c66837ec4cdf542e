"""An empty Spark stream with default settings: the files of a directory, unchanged, to Parquet.

python plain_files.py DIRECTORY OUT CHECKPOINT
"""

import sys

from pyspark.sql import SparkSession

source, target, checkpoint = sys.argv[1:]
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
files = (
    spark.readStream.format("binaryFile")
    .schema("path string, modificationTime timestamp, length long, content binary")
    .load(source)
)
writer = files.select("path", "length").writeStream.format("parquet").option("checkpointLocation", checkpoint)
writer.start(target).awaitTermination()
