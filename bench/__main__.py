"""`make bench`: the relay and Postfix side by side, in turns, on this machine."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from bench import load, peers, table
from bench.machine import machine
from tests.fakes.processes import until

_RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Measure, print the table and keep the figures as JSON. Returns the exit status."""
    options = _options()
    if reason := load.why_not():
        print(f"nothing measured: {reason}", file=sys.stderr)
        return 1
    facts = machine(options.directory)
    print(table.facts_line(facts), flush=True)
    results = _run(options)
    command = " ".join(["python -m bench", *sys.argv[1:]])
    text = table.section(
        results, facts, f"{command}: {options.messages} messages of {load.MESSAGE_BYTES} octets a round"
    )
    print(f"\n{text}")
    print(f"Figures and this text in {_keep(facts, options, results, text)}")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds: under two minutes")
    parser.add_argument("--rounds", type=int, help="rounds a peer and pattern (default 5, quick 3)")
    parser.add_argument("--messages", type=int, help="messages a round (default 4000, quick 1000)")
    parser.add_argument("--peers", nargs="+", choices=list(peers.PEERS), default=list(peers.PEERS))
    parser.add_argument("--patterns", nargs="+", choices=[one.name for one in load.PATTERNS])
    parser.add_argument(
        "--directory", type=Path, default=Path("/var/tmp"), help="where the queues lie: a real disk, not a tmpfs"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.messages = options.messages or (1000 if options.quick else 4000)
    return options


def _run(options: argparse.Namespace) -> dict[str, dict[str, list[load.Round]]]:
    patterns = [one for one in load.PATTERNS if not options.patterns or one.name in options.patterns]
    with ExitStack() as stack:
        sink = stack.enter_context(load.Sink())
        running = _start(options, sink, stack)
        results: dict[str, dict[str, list[load.Round]]] = {
            pattern.name: {peer.name: [] for peer in running} for pattern in patterns
        }
        for number in range(1, options.rounds + 1):
            for pattern in patterns:
                for peer in running:
                    one = load.measure(peer, sink, pattern, options.messages)
                    results[pattern.name][peer.name].append(one)
                    _say(number, pattern, peer, one)
                    until(lambda peer=peer: peer.waiting() == 0, 60, what=f"{peer.name}: an empty queue")
    return results


def _start(options: argparse.Namespace, sink: load.Sink, stack: ExitStack) -> Sequence[peers.Peer]:
    """Start all peers that can be, and warm each up with a tenth of a round."""
    running: list[peers.Peer] = []
    for name in options.peers:
        if reason := peers.why_not(name):
            print(f"{name} left out: {reason}", flush=True)
            continue
        peer = peers.PEERS[name](options.directory, sink.port)
        try:
            peer.start()
        except RuntimeError as error:
            print(f"{name} left out: {error}", flush=True)
            continue
        stack.callback(peer.stop)
        load.measure(peer, sink, load.PATTERNS[0], max(100, options.messages // 10))
        until(lambda peer=peer: peer.waiting() == 0, 60, what=f"{name}: an empty queue")
        running.append(peer)
    return running


def _say(number: int, pattern: load.Pattern, peer: peers.Peer, one: load.Round) -> None:
    print(
        f"round {number} {pattern.name:8} {peer.name:10}"
        f" accepts {one.accepts:7,.0f}/s  end-to-end {one.deliveries:7,.0f}/s",
        flush=True,
    )


def _keep(facts: dict[str, str], options: argparse.Namespace, results: table.Results, text: str) -> Path:
    _RESULTS.mkdir(exist_ok=True)
    file = _RESULTS / time.strftime("%Y%m%d-%H%M%S.json", time.gmtime())
    file.with_suffix(".md").write_text(text)
    document = {
        "machine": facts,
        "messages": options.messages,
        "message_bytes": load.MESSAGE_BYTES,
        "sessions": load.SESSIONS,
        "rounds": {
            pattern: {name: [asdict(one) for one in rounds] for name, rounds in by_peer.items()}
            for pattern, by_peer in results.items()
        },
    }
    file.write_text(json.dumps(document, indent=2) + "\n")
    return file


if __name__ == "__main__":
    sys.exit(main())
