"""What a run keeps of each part, and how a later call takes it up again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bakeoff.engine.candidate import Candidate, EpochRecord
from bakeoff.errors import CheckpointError
from bakeoff.methods.contract import Tensors
from bakeoff.metrics.rouge import ROUGE_KEYS
from bakeoff.runs.folder import EXAMPLES_FILE, RunFolder, folder_bytes
from bakeoff.study.results import Findings, TestScores
from bakeoff.study.workbench import Workbench
from bakeoff.types import RunState


class Archive:
    """The run's folder as candidates, predictions, baselines and footprints."""

    def __init__(self, folder: RunFolder, bench: Workbench, findings: Findings) -> None:
        self.folder = folder
        self.bench = bench
        self.findings = findings

    def recall_candidate(self, candidate: Candidate) -> None:
        """Takes up a candidate that ended, where no checkpoint says how far training came."""
        kept = self.folder.read_json(f"candidates/{candidate.id}/candidate.json")
        if isinstance(kept, dict):
            self._recall_candidate(candidate, kept)

    def recall_parts(self) -> None:
        """Takes up everything besides training that an earlier call left whole.

        A candidate whose adapter is gone is to be trained again, if the test set is for it.
        """
        for candidate in self.findings.candidates:
            if not candidate.state.is_eligible:
                continue
            adapter = self.folder.path / "candidates" / candidate.id / "adapter"
            if adapter.is_dir():
                self.findings.adapter_bytes[candidate.id] = folder_bytes(adapter)
            elif candidate in self.findings.finals(candidate.method_name):
                candidate.start_anew()
        for candidate in self.findings.schedule.finals:
            scores = self._recall_scores(f"candidates/{candidate.id}")
            if scores is not None and candidate.state.is_eligible:
                self.findings.test_scores[candidate.id] = scores
        for name in ("lead", "zero_shot"):
            kept = self.folder.read_json(f"baselines/{name}/baseline.json")
            scores = self._recall_scores(f"baselines/{name}")
            if isinstance(kept, dict) and scores is not None:
                self.findings.baselines[name] = scores
                if name == "zero_shot":
                    self.findings.zero_shot_val_nll = kept["val_nll"]
        footprints = self.folder.read_json("footprints.json")
        if isinstance(footprints, dict):
            self.findings.footprints.update(footprints)
        notes = self.folder.read_json("notes.json")
        if isinstance(notes, list):
            self.findings.notes += notes

    def _recall_candidate(self, candidate: Candidate, kept: dict[str, Any]) -> None:
        state = RunState(kept["state"])
        adapter = self.folder.path / "candidates" / candidate.id / "adapter"
        if not state.is_final or state is RunState.FAILED:
            return
        if state.is_eligible and not adapter.is_dir():
            return
        candidate.state, candidate.reason = state, kept["reason"]
        candidate.best_epoch = kept["best_epoch"]
        candidate.epochs = [EpochRecord(**record) for record in kept["epochs"]]

    def _recall_scores(self, place: str) -> TestScores | None:
        rows = self.folder.read_lines(f"{place}/predictions.jsonl")
        if rows is None or len(rows) != len(self.bench.data.splits["test"]):
            return None
        rouge_N4 = np.array([[row[key] for key in ROUGE_KEYS] for row in rows], dtype=np.float64)
        nlls = [row.get("nll") for row in rows]
        nll_N = None if any(n is None for n in nlls) else np.array(nlls, dtype=np.float64)
        return TestScores(rouge_N4=rouge_N4, nll_N=nll_N)

    def keep_candidate(self, candidate: Candidate) -> None:
        """Writes a candidate that has ended: its curve, and the adapter of its best epoch."""
        place = f"candidates/{candidate.id}"
        self.folder.write_lines(f"{place}/metrics.jsonl", [asdict(e) for e in candidate.epochs])
        if candidate.state.is_eligible and candidate.tensors is not None:
            with self.folder.new_folder(f"{place}/adapter") as beside:
                candidate.method.save(candidate.tensors, beside)
            adapter = self.folder.path / place / "adapter"
            self.findings.adapter_bytes[candidate.id] = folder_bytes(adapter)
        candidate.tensors = None
        # Last, since it says that the rest is whole.
        self.folder.write_json(
            f"{place}/candidate.json",
            {
                "method": candidate.method_name,
                "variant": candidate.variant,
                "learning_rate": candidate.learning_rate,
                "seed": candidate.seed,
                "state": candidate.state.value,
                "reason": candidate.reason,
                "best_epoch": candidate.best_epoch,
                "epochs": [asdict(e) for e in candidate.epochs],
            },
        )

    def tensors_of(self, candidate: Candidate) -> Tensors:
        """The best epoch's tensors, read back.

        Raises:
            CheckpointError: if the adapter is not whole.
        """
        folder = self.folder.path / "candidates" / candidate.id
        try:
            return candidate.method.load(folder / "adapter")
        except CheckpointError as error:
            raise CheckpointError(
                f"{error}. To do so, remove {folder} and run the same command again"
            ) from error

    def keep_predictions(self, place: str, texts: Sequence[str], scores: TestScores) -> None:
        """Writes what was generated for each test row, with its scores."""
        lengths = np.diff(self.bench.data.splits["test"].completions.offsets)
        rows = []
        for index, text in enumerate(texts):
            row: dict[str, Any] = {"index": index, "prediction": text}
            row |= {k: float(scores.rouge_N4[index, c]) for c, k in enumerate(ROUGE_KEYS)}
            if scores.nll_N is not None:
                row |= {"nll": float(scores.nll_N[index]), "tokens": int(lengths[index])}
            rows.append(row)
        self.folder.write_lines(f"{place}/predictions.jsonl", rows)

    def keep_baseline(self, name: str, texts: Sequence[str], scores: TestScores) -> None:
        """Writes a baseline's predictions and what else is known of it."""
        self.findings.baselines[name] = scores
        self.keep_predictions(f"baselines/{name}", texts, scores)
        content = {"val_nll": self.findings.zero_shot_val_nll} if name == "zero_shot" else {}
        self.folder.write_json(f"baselines/{name}/baseline.json", content)

    def keep_examples(self) -> None:
        """Writes the test rows once, for the report and for readers."""
        if (self.folder.path / EXAMPLES_FILE).exists():
            return
        test = self.bench.data.splits["test"]
        self.folder.write_lines(
            EXAMPLES_FILE,
            (
                {
                    "index": i,
                    "row": int(test.rows[i]),
                    "document": test.raw_documents[i],
                    "reference": test.summaries[i],
                }
                for i in range(len(test))
            ),
        )

    def keep_footprint(self, name: str, footprint: dict[str, Any]) -> None:
        """Writes one method's footprint."""
        self.findings.footprints[name] = footprint
        self.folder.write_json("footprints.json", self.findings.footprints)

    def keep_note(self, note: str) -> None:
        """Writes something that the report must tell."""
        if note not in self.findings.notes:
            self.findings.notes.append(note)
            self.folder.write_json("notes.json", self.findings.notes)
