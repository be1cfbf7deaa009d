"""`latency.hlog` is read by the Java HdrHistogram, the format's own author's, with the same figures."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecoload.measure.histogram import Histogram
from ecoload.measure.hlog import LogWriter, read_log
from ecoload.measure.outcome import Outcome
from ecoload.measure.recorder import Recorder
from tests.unit.measuring import second_of

JAR = "HdrHistogram-2.2.2.jar"
READER = """
import java.util.*;
import org.HdrHistogram.*;

public class ReadLog {
    public static void main(String[] args) throws Exception {
        HistogramLogReader reader = new HistogramLogReader(args[0]);
        Map<String, Histogram> totals = new TreeMap<>();
        EncodableHistogram next;
        double first = -1, last = 0;
        while ((next = reader.nextIntervalHistogram()) != null) {
            String tag = next.getTag();
            totals.computeIfAbsent(tag, k -> new Histogram(1, 3600000000L, 3)).add((Histogram) next);
            if (first < 0) first = next.getStartTimeStamp();
            last = next.getEndTimeStamp();
        }
        System.out.printf(Locale.ROOT, "%.0f %.0f%n", first, last);
        for (Map.Entry<String, Histogram> entry : totals.entrySet()) {
            Histogram h = entry.getValue();
            System.out.println(entry.getKey() + " " + h.getTotalCount() + " " + h.getValueAtPercentile(50)
                + " " + h.getValueAtPercentile(95) + " " + h.getMaxValue());
        }
    }
}
"""
WRITER = """
import java.io.PrintStream;
import org.HdrHistogram.*;

public class WriteLog {
    public static void main(String[] args) throws Exception {
        HistogramLogWriter writer = new HistogramLogWriter(new PrintStream(args[0]));
        writer.outputLogFormatVersion();
        writer.outputStartTime(1000);
        writer.outputLegend();
        Histogram h = new Histogram(1, 3600000000L, 3);
        for (int i = 1; i <= 1000; i++) h.recordValue(i * 1000L);
        h.setTag("a|response|ok");
        writer.outputIntervalHistogram(0.0, 1.0, h, 1000.0);
        writer.close();
    }
}
"""


@pytest.fixture(scope="module")
def java(tool: Callable[[str], Path]) -> Callable[..., str]:
    """Runs a Java program (its source, its name, its arguments) with the jar; gives what it printed."""
    command, jar = tool("java"), tool(JAR)

    def run(folder: Path, name: str, source: str, *arguments: str) -> str:
        (folder / f"{name}.java").write_text(source)
        line = [command, "-XX:TieredStopAtLevel=1", "-cp", jar, folder / f"{name}.java", *arguments]
        done = subprocess.run(line, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_java_reads_our_log(tmp_path: Path, java: Callable[..., str]) -> None:
    path = tmp_path / "latency.hlog"
    recorder = Recorder(["a", "b c"])
    log = LogWriter(path, recorder.routes, 1_700_000_000.0)
    rng = np.random.default_rng(3)
    for second in (1, 2, 3):
        log.write(second_of(recorder, second, rng.lognormal(4, 1, 1000), errors=second, route=second % 2))
    log.close()
    times, *lines = java(tmp_path, "ReadLog", READER, str(path)).splitlines()
    assert times == "1700000000000 1700000003000"
    found = {line.rsplit(" ", 4)[0]: [int(x) for x in line.rsplit(" ", 4)[1:]] for line in lines}
    figures = recorder.figures()
    for name, route in (("a", figures.routes[0]), ("b%20c", figures.routes[1])):
        total: Histogram = route.ok_response
        count, p50, p95, _ = found[f"{name}|response|ok"]
        assert count == total.total
        assert (p50, p95) == total.percentiles((0.5, 0.95))
        assert found[f"{name}|response|http_error"][0] == route.outcomes[Outcome.HTTP_ERROR]


def test_we_read_javas_log(tmp_path: Path, java: Callable[..., str]) -> None:
    path = tmp_path / "java.hlog"
    java(tmp_path, "WriteLog", WRITER, str(path))
    (entry,) = read_log(path)
    assert (entry.route, entry.kind, entry.outcome) == ("a", "response", Outcome.OK)
    assert (entry.histogram.total, entry.histogram.percentile(0.5)) == (1000, 500_223)
