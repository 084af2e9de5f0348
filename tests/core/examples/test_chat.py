"""The chat of the examples: answers, conversations, events, and clients that notice mistakes."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from changeover.domain.routing import bucket
from examples.chat import consistency
from examples.chat.client import KINDS, Conversation
from examples.chat.engine import Answer, Engine
from examples.chat.events import collected, run
from examples.chat.faults import Faults
from examples.chat.handbook import Handbook, Section, sections
from examples.chat.helpdesk import HelpDesk
from examples.chat.load import REGIONS, WEIGHTS, even_users, habits
from examples.chat.messages import Chat, Message, parse
from examples.chat.service import ChatService
from examples.chat.sessions import Sessions, Turn, next_state
from examples.chat.web import BadRequest

KNOWN = [Section("a.md", "Rollback", "A rollback moves all users to the baseline. It takes a "
                                     "second. Nobody is asked."),
         Section("b.md", "Soak", "A stage soaks for a week. Then its gate is judged.")]


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return where the conversations are."""
    return tmp_path / "chat.sqlite3"


def chat(database: Path, system: str) -> Chat:
    """Return a system that knows two sections."""
    return Chat(system, Sessions(database, system), Engine(Handbook(KNOWN)))


def message(number: int, text: str = "How does a rollback work?") -> Message:
    """Return one message of a conversation."""
    return Message("talk", f"m{number}", text)


def test_the_handbook_is_the_documentation_of_the_project() -> None:
    """Real text, without the code of its examples."""
    found = sections()
    assert len(found) > 100
    assert any(each.place == "triggers.md" for each in found)
    assert not any("```" in each.text for each in found)


def test_a_further_question_is_about_what_was_asked_before() -> None:
    """`and how long?` says nothing by itself."""
    engine = Engine(Handbook(KNOWN))
    first = engine.answer("How does a rollback work?", "")
    assert "rollback" in first.text
    assert engine.answer("and how long?", first.topic).sources == first.sources
    assert engine.answer("What about the soak?", first.topic).sources == ("b.md: Soak",)


def test_the_pieces_of_an_answer_are_the_answer() -> None:
    """A client puts them together and has the same text."""
    answer = Answer(" ".join(f"word{number}" for number in range(21)), "", ())
    assert "".join(answer.pieces) == answer.text
    assert len(answer.pieces) == 3


def test_users_who_are_moved_keep_their_conversation(database: Path) -> None:
    """The other system goes on with number, topic and state."""
    old, new = chat(database, "baseline"), chat(database, "candidate")
    first = asyncio.run(old.reply(message(1)))
    second = asyncio.run(new.reply(message(2, "and how long?")))
    assert (first.number, second.number) == (1, 2)
    assert second.state == next_state(first.state, 2, "m2", second.answer)
    assert "rollback" in second.topic


def test_a_message_that_is_sent_again_is_answered_once(database: Path) -> None:
    """Also when the other system gets it the second time."""
    first = asyncio.run(chat(database, "baseline").reply(message(1)))
    again = asyncio.run(chat(database, "candidate").reply(message(1)))
    assert again == first
    assert len(Sessions(database, "x").turns("talk")) == 1


def test_a_copy_has_no_effect_and_the_same_answer(database: Path) -> None:
    """Shadow compares what the new system would have said at that point of the conversation."""
    old, new = chat(database, "baseline"), chat(database, "candidate")
    first = asyncio.run(old.reply(message(1)))
    asyncio.run(old.reply(message(2, "What about the soak?")))
    copy = Message("talk", "m1", "How does a rollback work?", has_effects=False)
    events = run(new, copy, Faults())
    assert asyncio.run(collected(events)) == first.as_json()
    assert len(new.sessions.turns("talk")) == 2


def test_an_accepted_message_is_answered_by_whoever_is_left(database: Path) -> None:
    """The process that took it died: after its lease anybody takes it, and only one."""
    sessions = Sessions(database, "baseline")
    assert sessions.accept("talk", "m1", "What about the soak?")
    assert not sessions.accept("talk", "m1", "What about the soak?")
    assert sessions.left_over() == []
    sessions._database.execute("UPDATE accepted SET taken_at = 0")
    assert sessions.left_over() == [("talk", "m1", "What about the soak?")]
    assert Sessions(database, "candidate").accept("talk", "m1", "What about the soak?")


def test_a_callback_is_made_by_one_only(database: Path) -> None:
    """Whoever takes it makes it; once made it is never taken again."""
    old = chat(database, "baseline")
    asked = Message("talk", "m1", "What about the soak?", "http://127.0.0.1:1/x")
    asyncio.run(old.reply(asked))
    other = Sessions(database, "candidate")
    assert old.sessions.take_callback("talk", "m1")
    assert not other.take_callback("talk", "m1")
    old.sessions.end_callback("talk", "m1")
    old.sessions._database.execute("UPDATE callbacks SET taken_at = 0")
    assert not other.take_callback("talk", "m1")


def told(number: int, state: str, id_: str, answer: str = "yes") -> dict[str, object]:
    """Return a turn as a client gets it."""
    return {"number": number, "id": id_, "answer": answer,
            "state": next_state(state, number, id_, answer)}


def test_a_client_finds_nothing_wrong_in_a_whole_conversation() -> None:
    """Each state follows from the one before."""
    talk = Conversation("talk")
    assert talk.take("m1", [told(1, "", "m1")]) == []
    assert talk.take("m2", [told(2, talk.state, "m2")]) == []


@pytest.mark.parametrize(("answers", "flaw"), [
    ([told(1, "", "m2")], "lost"), ([told(3, "other", "m2")], "doubled"),
    ([told(2, "other", "m2")], "state_lost"), ([told(2, "", "m1")], "mixed_up")])
def test_a_client_notices_what_went_wrong(
    answers: list[dict[str, object]], flaw: str
) -> None:
    """A number that comes again, or is left out, another state, another message's answer."""
    talk = Conversation("talk")
    talk.take("m1", [told(1, "", "m1")])
    assert flaw in talk.take("m2", answers)


def test_a_client_notices_an_answer_that_comes_twice() -> None:
    """Two snapshots for one message."""
    talk = Conversation("talk")
    assert talk.take("m1", [told(1, "", "m1")] * 2) == ["doubled"]


@pytest.mark.parametrize(("kind", "flaw"), [("lost", "lost"), ("doubled", "doubled")])
def test_the_check_of_the_database_and_clients_see_the_same_fault(
    database: Path, kind: str, flaw: str
) -> None:
    """With the fault on, every fifth message is not saved, or saved twice."""
    new, faults, talk = chat(database, "candidate"), Faults(), Conversation("talk")
    faults.begin(kind)
    flaws: Counter[str] = Counter()

    async def converse() -> None:
        for number in range(1, 11):
            await faults.meet()
            answer = await collected(run(new, message(number), faults))
            flaws.update(talk.take(f"m{number}", [answer]))

    asyncio.run(converse())
    assert flaws[flaw] >= 1
    stored = [turn.id for turn in new.sessions.turns("talk")]
    assert Counter(stored) != Counter(talk.sent)


def test_the_check_of_the_database_says_what_is_wrong(database: Path) -> None:
    """A turn that vanished, and a state that does not follow."""
    old = chat(database, "baseline")
    for number in (1, 2, 3):
        asyncio.run(old.reply(message(number)))
    assert consistency.problems(database) == ([], 1, 3)
    old.sessions._database.execute("UPDATE turns SET state = 'x' WHERE number = 3")
    assert "state after turn 3" in consistency.problems(database)[0][0]
    old.sessions._database.execute("DELETE FROM turns WHERE number = 2")
    assert "turn 2 is missing" in consistency.problems(database)[0][0]
    old.sessions.accept("talk", "m9", "What about the soak?")
    old.sessions._database.execute("UPDATE accepted SET taken_at = 0")
    assert any("m9 was accepted" in text for text in consistency.problems(database)[0])


@pytest.mark.parametrize("body", [
    "[]", "x", '{"conversation": "a"}', '{"conversation": "a", "id": "b", "text": " "}',
    '{"conversation": "a", "id": "b/../c", "text": "x"}', "[" * 100_000,
    '{"conversation": "a", "id": "b", "text": "\\ud800"}',
    '{"conversation": "a", "id": "b", "text": "x", "callback": "http://example.com/"}'])
def test_what_is_no_message_is_refused_with_the_reason(body: str) -> None:
    """Before anything is done."""
    with pytest.raises(BadRequest, match=r"\w+ (is|are) "):
        parse(body)


def test_the_help_desk_compares_with_what_is_usual_for_so_many_messages(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More users do not mean a spike; three times as many complaints for each message do."""
    monkeypatch.setenv("CHAT_DATABASE", str(database))
    sessions = Sessions(database, "baseline")
    desk = HelpDesk(sessions)
    assert desk.volume("candidate", 10)["ratio"] is None
    add_messages(sessions, "baseline", ago=60, number=100)
    complain(desk, "baseline", ago=60, number=10)
    add_messages(sessions, "candidate", ago=1, number=50)
    complain(desk, "candidate", ago=1, number=5)
    assert desk.volume("candidate", 10)["ratio"] == pytest.approx(1)
    complain(desk, "candidate", ago=1, number=15)
    assert desk.volume("candidate", 10)["ratio"] == pytest.approx(4)


def add_messages(sessions: Sessions, system: str, *, ago: int, number: int) -> None:
    """Add answered messages of some time ago."""
    for at in range(number):
        turn = Turn(f"{system}-{at}", 0, "m1", "q", "a", "t", "", "", system)
        Sessions.save(sessions, turn)
        sessions._database.execute(
            "UPDATE turns SET at = at - ?, system = ? WHERE conversation = ?",
            (ago, system, turn.conversation))


def complain(desk: HelpDesk, system: str, *, ago: int, number: int) -> None:
    """Add complaints of some time ago."""
    for _ in range(number):
        desk.add(system, "user", "slow")
    desk._database.execute(
        "UPDATE complaints SET at = at - ? WHERE at > unixepoch() - 1 AND system = ? AND text "
        "= 'slow'", (ago, system))
    desk._database.execute("UPDATE complaints SET text = 'told'")


def test_users_of_the_load_are_spread_evenly_over_the_buckets() -> None:
    """So a tenth of the buckets has a tenth of them."""
    buckets = [bucket(name) for name in even_users(200)]
    assert buckets == sorted(buckets)
    assert sum(each < 1_000 for each in buckets) == 20


def test_beta_users_are_of_all_regions_and_habits() -> None:
    """Every twentieth user: each region, transport and weight is among them."""
    beta = [habits(number) for number in range(300) if "x-cohort" in habits(number)[2]]
    assert len(beta) == 15
    assert {kind for kind, _, _ in beta} == set(KINDS)
    assert {weight for _, weight, _ in beta} == set(WEIGHTS)
    assert {headers["x-region"] for _, _, headers in beta} == set(REGIONS)


def ask(service: ChatService, method: str, path: str, **headers: str) -> int:
    """Return the status of a service's answer."""
    scope = {"type": "http", "method": method, "path": path, "query_string": b"",
             "headers": [(name.replace("_", "-").encode(), value.encode())
                         for name, value in headers.items()]}
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"{}"}

    async def send(part: dict[str, object]) -> None:
        sent.append(part)

    asyncio.run(service(scope, receive, send))  # type: ignore[arg-type]
    return int(str(sent[0]["status"]))


def test_a_retired_transport_answers_no_user_any_more(database: Path) -> None:
    """Also after its next start; only the operator can retire it, not a user at the gateway."""
    old = ChatService(chat(database, "baseline"), "json")
    assert ask(old, "POST", "/admin/stop", x_forwarded_for="127.0.0.1") == 404
    assert ask(old, "GET", "/api/conversations/talk") == 200
    assert ask(old, "POST", "/admin/stop") == 200
    assert ask(old, "GET", "/api/conversations/talk") == 410
    again = ChatService(chat(database, "baseline"), "json")
    assert ask(again, "GET", "/api/conversations/talk") == 410
    assert ask(again, "GET", "/health") == 200


def test_faults_cannot_be_begun_without_the_demos_token(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody but the demo makes a system misbehave."""
    service = ChatService(chat(database, "candidate"), "json")
    assert ask(service, "POST", "/fault", authorization="Bearer x") == 404
    monkeypatch.setenv("CHANGEOVER_FAULT_TOKEN", "secret")
    assert ask(service, "POST", "/fault", authorization="Bearer x") == 404
    assert ask(service, "POST", "/fault", authorization="Bearer secret") == 400
