"""The sessions of browsers: their ends, and their bound."""

from mta.admin.page.sessions import IDLE_SECONDS, MAX_SECONDS, MAX_SESSIONS, Sessions


def test_a_session_ends_when_it_is_not_used():
    sessions = Sessions()
    id = sessions.begin(0.0)
    assert sessions.use(id, IDLE_SECONDS - 1)
    assert sessions.use(id, 2 * IDLE_SECONDS - 2)
    assert not sessions.use(id, 3 * IDLE_SECONDS)
    assert len(sessions) == 0


def test_a_session_that_is_used_ends_after_a_week():
    sessions = Sessions()
    id, now = sessions.begin(0.0), 0.0
    while now + IDLE_SECONDS / 2 < MAX_SECONDS:
        now += IDLE_SECONDS / 2
        assert sessions.use(id, now)
    assert not sessions.use(id, MAX_SECONDS)


def test_the_session_that_was_used_longest_ago_makes_room():
    sessions = Sessions()
    ids = [sessions.begin(0.0) for _ in range(MAX_SESSIONS)]
    assert sessions.use(ids[0], 1.0)
    sessions.begin(2.0)
    assert len(sessions) == MAX_SESSIONS
    assert sessions.use(ids[0], 3.0)
    assert not sessions.use(ids[1], 3.0)


def test_an_unknown_session_is_none():
    assert not Sessions().use("x", 0.0)


def test_tokens_of_forms_belong_to_one_browser_and_one_process():
    one, other = Sessions(b"one"), Sessions(b"other")
    assert one.is_form_token("id", one.form_token("id"))
    assert not one.is_form_token("id", other.form_token("id"))
    assert not one.is_form_token("id", one.form_token("id2"))
