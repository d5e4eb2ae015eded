"""`yelp_academic_dataset_review.json` of Yelp's open data set: one review a line, as strict JSON.

The file is larger than memory, most of it text that nobody reads here: rows pass through a block at a time, in the
file's order. `date` stays the text that it is, because papers cut their windows by comparing texts; `time` is the same
moment in unix seconds. Yelp names no time zone; it is read as UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from reprise.data.json_lines import batches
from reprise.data.readers import Tables
from reprise.errors import RepriseError

FILE = "yelp_academic_dataset_review.json"
READ = pa.schema({"user_id": pa.string(), "business_id": pa.string(), "stars": pa.float64(), "date": pa.string()})
ROWS = pa.schema({"user": pa.string(), "item": pa.string(), "time": pa.int64(), "rating": pa.float64(),
                  "date": pa.string()})


def read(folder: Path) -> Tables:
    """Read the reviews of a folder as a stream, with the column `date` beside the shared ones.

    Raises
    ------
    RepriseError
        As `json_lines.batches`; a date that is none. Raised while the stream is read.
    """
    path = Path(folder) / FILE
    return Tables(pa.RecordBatchReader.from_batches(ROWS, _rows(path)), None, None, {}, (FILE,))


def _rows(path: Path) -> Iterator[pa.RecordBatch]:
    for batch in batches(path, READ):
        user, item, stars, date = batch.columns
        try:
            time = pc.cast(pc.cast(date, pa.timestamp("s")), pa.int64())
        except pa.ArrowInvalid as error:
            raise RepriseError(str(path), expected="dates as YYYY-MM-DD HH:MM:SS", found=str(error),
                               fix="fetch the source again; is it another edition?") from None
        yield pa.record_batch([user, item, time, stars, date], schema=ROWS)
