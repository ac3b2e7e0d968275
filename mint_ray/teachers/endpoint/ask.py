"""Asking about many cases: threads, limits, and a file of replies that a restart continues."""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from mint_ray.common.json_lines import append_line, read_lines
from mint_ray.config.teacher import ServerConfig
from mint_ray.errors import TeacherError
from mint_ray.teachers.endpoint.client import NoReplyError
from mint_ray.teachers.endpoint.questions import Question
from mint_ray.teachers.endpoint.replies import Reply, as_row, of_row

MOST_LOST = 20
"""Questions in a row without a reply after which the server counts as lost."""
SECOND_ROUND_SECONDS = 5.0
"""Pause before questions without a reply are asked once more."""


class Asks(Protocol):
    """A client that gives replies to questions."""

    def ask(self, question: Question) -> Reply: ...


class ReplyFile:
    """JSON lines with one reply each; a context manager that keeps the file open.

    A reply is on the disk before the next one is added. Of a file that a killed process left, a
    torn last line is not read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        rows = read_lines(path)
        self._replies = {(row["case_id"], row["key"]): of_row(row) for row in rows}
        self.n_replies, self.n_tokens = len(rows), sum(row["tokens"] for row in rows)

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = self._path.open("ab+")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def get(self, question: Question) -> Reply | None:
        """Return the reply to this very question, or None."""
        return self._replies.get((question.case_id, question.key))

    def add(self, question: Question, reply: Reply) -> None:
        """Append a reply."""
        append_line(self._stream, as_row(question.case_id, question.key, reply))
        self._stream.flush()
        self._replies[question.case_id, question.key] = reply
        self.n_replies += 1
        self.n_tokens += reply.tokens


def is_budget_spent(config: ServerConfig, file: ReplyFile, pending: int) -> bool:
    """Return whether a limit allows no further question.

    Args:
        config: limits.
        file: replies so far, over all restarts.
        pending: questions that have no reply yet.
    """
    if config.max_requests and file.n_replies + pending >= config.max_requests:
        return True
    return bool(config.max_total_tokens and file.n_tokens >= config.max_total_tokens)


def budget_error(config: ServerConfig, file: ReplyFile) -> TeacherError:
    """Return the error of a spent budget."""
    return TeacherError(
        f"{config.base_url}: {file.n_replies} replies with {file.n_tokens} tokens reach "
        f"max_requests={config.max_requests} or max_total_tokens={config.max_total_tokens}; they "
        "are kept: raise the limit and run the same command again"
    )


def lost_error(config: ServerConfig, file: ReplyFile, in_a_row: int, kind: str) -> TeacherError:
    """Return the error of a server that gives no replies any more.

    Args:
        config: of the server.
        file: replies so far.
        in_a_row: number of questions without a reply.
        kind: of the last one's error.
    """
    return TeacherError(
        f"{config.base_url}: no reply to {in_a_row} questions in a row ({kind}); "
        f"{file.n_replies} replies are kept: see to the server, then run the same command again"
    )


@dataclass
class Asked:
    """Result of asking.

    Attributes:
        replies: by case id; only of cases that were asked about.
        n_asked: replies that this call got; the others were in the file.
        unreached: cases without a reply, by kind of error.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    n_asked: int = 0
    unreached: Counter[str] = field(default_factory=Counter)


class _Round:
    """One pass over questions with a pool of threads; only the caller's thread writes the file."""

    def __init__(
        self, client: Asks, file: ReplyFile, config: ServerConfig, on_reply: Callable[[], None]
    ) -> None:
        self._client, self._file, self._config, self._on_reply = client, file, config, on_reply
        self._pending: dict[Future[Reply], Question] = {}
        self._lost_in_a_row = 0
        self.asked = Asked()
        self.lost: list[tuple[Question, str]] = []
        self.is_spent = False

    def run(self, questions: Iterator[Question]) -> None:
        with ThreadPoolExecutor(self._config.concurrency) as pool:
            try:
                for question in questions:
                    known = self._file.get(question)
                    if known is not None:
                        self.asked.replies[question.case_id] = known
                        self._on_reply()
                        continue
                    while len(self._pending) >= self._config.concurrency:
                        self._collect()
                    if is_budget_spent(self._config, self._file, len(self._pending)):
                        self.is_spent = True
                        break
                    self._pending[pool.submit(self._client.ask, question)] = question
                while self._pending:
                    self._collect()
            finally:
                for future in self._pending:
                    future.cancel()

    def _collect(self) -> None:
        """Take the replies that are there, after waiting for at least one."""
        done, _ = wait(self._pending, return_when=FIRST_COMPLETED)
        for future in done:
            question = self._pending.pop(future)
            try:
                reply = future.result()
            except NoReplyError as error:
                self._lose(question, str(error))
                continue
            self._lost_in_a_row = 0
            self._file.add(question, reply)
            self.asked.replies[question.case_id] = reply
            self.asked.n_asked += 1
            self._on_reply()

    def _lose(self, question: Question, kind: str) -> None:
        self.lost.append((question, kind))
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= MOST_LOST:
            raise lost_error(self._config, self._file, self._lost_in_a_row, kind)


def ask_all(
    questions: Iterator[Question],
    client: Asks,
    path: Path,
    config: ServerConfig,
    on_reply: Callable[[], None],
) -> Asked:
    """Ask every question that the file of replies does not answer.

    Questions without a reply are asked once more at the end. A case whose question is lost twice
    goes without a reply if few are, so that one case cannot stop a run.

    Args:
        questions: one per case, read as they are needed.
        client: gives a reply, or raises `NoReplyError`; called from `concurrency` threads.
        path: file of the replies, which a repeated call continues.
        config: limits.
        on_reply: called for every reply, in this thread.

    Raises:
        TeacherError: a limit is reached, or the server gives no replies; all replies are kept.
    """
    with ReplyFile(path) as file:
        first = _Round(client, file, config, on_reply)
        first.run(questions)
        asked, lost, is_spent = first.asked, first.lost, first.is_spent
        if lost and not is_spent:
            time.sleep(SECOND_ROUND_SECONDS)
            again = _Round(client, file, config, on_reply)
            waiting = deque(question for question, _ in lost)
            again.run(iter(waiting))
            asked.replies |= again.asked.replies
            asked.n_asked += again.asked.n_asked
            lost, is_spent = again.lost, again.is_spent
        if is_spent:
            raise budget_error(config, file)
        asked.unreached = Counter(kind for _, kind in lost)
        if len(lost) > max(1, len(asked.replies) // 50):
            raise TeacherError(
                f"{config.base_url}: no reply to {len(lost)} of {len(lost) + len(asked.replies)} "
                f"questions ({dict(asked.unreached)}); the others are kept: run the same command "
                "again"
            )
    return asked
