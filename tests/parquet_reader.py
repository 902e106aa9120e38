"""What pyarrow and DuckDB find in exported Parquet files, against what the server says of the same records."""

import glob
import json
import subprocess
import sys
import urllib.parse
import urllib.request

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

program, url, key, work = sys.argv[1:]
head = {"Authorization": f"Bearer {key}"}
lake = f"{work}/lake"


def post(path, body):
    request = urllib.request.Request(url + path, data=body.encode(), headers=head)
    with urllib.request.urlopen(request) as answer:
        return answer.read().decode()


def query(text):
    lines = post("/select/logsql/query", urllib.parse.urlencode({"query": text}))
    return [json.loads(line) for line in lines.splitlines()]


def export(*more):
    command = [program, "archive", "export", "--to", lake, "--url", url, "--key", key, *more]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def insert(numbers):
    lines = []
    for n in numbers:
        record = {
            "_time": f"2026-05-{n % 2 + 1:02}T{n % 5:02}:{n % 60:02}:{n % 59:02}.{n:09}Z",
            "service_name": ["web", "db/main", "cron=1"][n % 3],
            "level": ["INFO", "ERROR"][n % 2],
            "_msg": f"request {n} of user ü{n % 7}",
            "status": 200 + n % 4,
            "took": n / 8,
            "ok": n % 2 == 0,
            "user": {"id": n % 100, "name": f"u{n % 100}"},
            "mixed": n if n % 4 < 2 else str(n),
            "tags": ["a", n],
        }
        lines.append(json.dumps(record))
    said = json.loads(post("/insert/jsonline", "\n".join(lines)))
    assert said["ingested"] == len(lines), said


def files():
    return f"read_parquet('{lake}/parquet/**/*.parquet', hive_partitioning = true, union_by_name = true)"


def compare():
    # Each service and hour: how many, and what numbers sum up to.
    ours = {
        (row["service_name"], row["_time"]): (int(row["n"]), int(row["s"]), float(row["t"]))
        for row in query("* -service_name:=logyard | stats by (service_name, _time:1h) count() n, sum(status) s, sum(took) t")
    }
    rows = duckdb.sql(
        "select service_name, year, month, day, hour, count(*), sum(status), sum(took), count(distinct _id)"
        f" from {files()} group by all"
    ).fetchall()
    theirs = {}
    for service, year, month, day, hour, count, status, took, ids in rows:
        at = f"{int(year):04}-{int(month):02}-{int(day):02}T{int(hour):02}:00:00Z"
        theirs[(service, at)] = (count, int(status), took)
        assert ids == count, (service, at, ids, count)
    assert set(ours) == set(theirs), (sorted(ours)[:3], sorted(theirs)[:3])
    for where, (count, status, took) in ours.items():
        assert theirs[where][:2] == (count, status), (where, ours[where], theirs[where])
        assert abs(theirs[where][2] - took) < 1e-6 * max(1.0, abs(took)), where
    return sum(count for count, *_ in ours.values())


insert(range(20_000))
export()
assert compare() == 20_000

names = sorted(glob.glob(f"{lake}/parquet/**/*.parquet", recursive=True))
wanted = {
    "_time": pa.timestamp("ns", tz="UTC"),
    "_arrival": pa.timestamp("ns", tz="UTC"),
    "_id": pa.string(),
    "_seq": pa.int64(),
    "service_name": pa.string(),
    "level": pa.string(),
    "_msg": pa.string(),
    "ok": pa.bool_(),
    "status": pa.int64(),
    "took": pa.float64(),
    "user.id": pa.int64(),
    "user.name": pa.string(),
    "fields_json": pa.string(),
}
rows = 0
for name in names:
    file = pq.ParquetFile(name)
    schema = file.schema_arrow
    for column, kind in wanted.items():
        assert schema.field(column).type == kind, (name, column, schema.field(column).type)
    assert "mixed" not in schema.names and "tags" not in schema.names
    group = file.metadata.row_group(0)
    for at in range(group.num_columns):
        column = group.column(at)
        assert column.compression == "ZSTD" and column.statistics is not None, (name, column.path_in_schema)
    table = file.read()
    times = table["_time"].cast(pa.int64()).to_pylist()
    assert times == sorted(times), name
    for n, rest in zip(table["_seq"].to_pylist(), table["fields_json"].to_pylist()):
        assert set(json.loads(rest)) >= {"mixed", "tags"}, rest
    rows += table.num_rows
assert rows == 20_000, rows

# Asked again, nothing; what came late, once; merged, the same.
assert export()["rows"] == 0
insert(range(20_000, 20_500))
assert export()["rows"] == 500
assert compare() == 20_500
merged = export("--repack")
assert merged["removed"] > 0, merged
assert compare() == 20_500
print(f"pyarrow {pa.__version__} and DuckDB {duckdb.__version__} agree on 20500 records in {len(names)} files")
