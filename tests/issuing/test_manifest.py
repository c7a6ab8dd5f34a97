"""The operator's file: read strictly, compared with what is there."""

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth_server.accounts.manifest import Fault, Manifest, Plan, State, plan
from auth_server.accounts.manifest_file import parse
from auth_server.accounts.yaml_nodes import MAX_CHARACTERS, MAX_DEPTH

NOTES, REPORTS = "http://a", "http://b"

WHOLE = dedent("""\
    resources:
      - audience: http://a
        name: Notes
        scopes: [notes:write, notes:read]
        claims: {org_id: org, team: team}
        introspection_client: nightly
    clients:
      - id: nightly
        name: Nightly report
        grant_types: [client_credentials]
        access_token_seconds: 60
        refresh: extend
        session_idle_seconds: 3600
        session_absolute_seconds: null
        refresh_grace_seconds: 0
        permissions: {"http://a": [notes:read]}
        default_resources: [http://a]
        secret_file: nightly.secret
        disabled: false
    users:
      - username: Alice
        roles: [b, a]
        attributes: {org: acme, n: 7, x: 1.5, on: true, none: null, list: [1, {a: "b"}]}
        permissions:
          http://a: []
    """).replace("on: true", '"on": true')

EMPTY = State({}, frozenset())


def read(text: str) -> Manifest:
    """A manifest that is good."""
    manifest = parse(text)
    assert manifest.faults == ()
    return manifest


def planned(text: str, state: State = EMPTY, *, prune: bool = False) -> Plan:
    """A plan that is good."""
    made = plan(read(text), state, prune=prune)
    assert isinstance(made, Plan), made
    return made


def after(made: Plan) -> State:
    """What is there once the plan is applied."""
    kept = {(change.kind, change.key): change.after for change in made.changes if change.action != "delete"}
    return State(kept, frozenset(key for kind, key in kept if kind == "client"))


def test_a_whole_file_is_read_as_it_is_meant() -> None:
    """Every field arrives with its type; sets are sorted, usernames get their one spelling."""
    manifest = read(WHOLE)
    assert [(item.kind, item.key, dict(item.fields)) for item in manifest.items] == [
        ("resource", NOTES, {
            "name": "Notes", "scopes": ("notes:read", "notes:write"), "claims": {"org_id": "org", "team": "team"},
            "introspection_client": "nightly",
        }),
        ("client", "nightly", {
            "name": "Nightly report", "grant_types": ("client_credentials",), "access_token_seconds": 60,
            "refresh": "extend", "session_idle_seconds": 3600, "session_absolute_seconds": None,
            "refresh_grace_seconds": 0, "permissions": {NOTES: ("notes:read",)}, "default_resources": (NOTES,),
            "disabled": False,
        }),
        ("user", "alice", {
            "roles": ("a", "b"),
            "attributes": {"org": "acme", "n": 7, "x": 1.5, "on": True, "none": None, "list": [1, {"a": "b"}]},
            "permissions": {NOTES: ()},
        }),
    ]  # fmt: skip
    assert manifest.secret_files == {"nightly": "nightly.secret"}
    assert manifest.sections == {"resource", "client", "user"}
    assert manifest.line(("client", "nightly", "permissions", NOTES)) == 16


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        pytest.param("", 1, "empty", id="empty"),
        pytest.param("# only a comment\n", 1, "empty", id="only-a-comment"),
        pytest.param("- a\n", 1, "expected fields", id="a-list"),
        pytest.param("text\n", 1, "expected fields", id="a-word"),
        pytest.param("user: []\n", 1, "unknown field 'user': the file has resources, clients, users", id="section"),
        pytest.param("users:\n", 1, "expected a list, found nothing", id="section-of-nothing"),
        pytest.param("users: {a: b}\n", 1, "expected a list", id="section-that-is-no-list"),
        pytest.param("users:\n  - alice\n", 2, "expected fields", id="user-that-is-a-word"),
        pytest.param("users:\n  - roles: []\n", 2, "needs username", id="user-without-name"),
        pytest.param("users:\n  - username: a b\n", 2, "no space", id="bad-username"),
        pytest.param("users:\n  - username: alice\n    rolls: [a]\n", 3, "unknown field 'rolls'", id="unknown-field"),
        pytest.param("users:\n  - username: alice\n    password: x\n", 3, "set-password", id="password"),
        pytest.param("clients:\n  - id: a\n    secret: x\n", 3, "never in the file", id="secret"),
        pytest.param("users:\n  - username: a\n    roles: []\n    roles: []\n", 4, "first on line 3", id="field-twice"),
        pytest.param("users:\n  - username: a\n  - username: A\n", 3, "already on line 2", id="user-twice"),
        pytest.param("users:\n  - username: a\n    roles: [x, x]\n", 3, "there twice", id="role-twice"),
        pytest.param("users:\n  - username: a\n    roles: x\n", 3, "expected a list, found text", id="roles-as-text"),
        pytest.param("users:\n  - username: a\n    roles: [no]\n", 3, "a boolean; quote it", id="norway"),
        pytest.param("users:\n  - username: 2026-01-01\n", 2, "a date; quote it", id="date-as-name"),
        pytest.param("users:\n  - username: 007\n", 2, "a number; quote it", id="number-as-name"),
        pytest.param("users:\n  - username: ~\n", 2, "found nothing", id="null-as-name"),
        pytest.param("users:\n  - username: [a]\n", 2, "found a list", id="list-as-name"),
        pytest.param("users:\n  - username: a\n    disabled: yes\n", 3, "true or false", id="yes-is-not-true"),
        pytest.param("users:\n  - username: a\n    disabled: 'true'\n", 3, "true or false", id="quoted-true"),
        pytest.param("users:\n  - username: a\n    attributes: {a: .nan}\n", 3, "no JSON value", id="nan"),
        pytest.param("users:\n  - username: a\n    attributes: {a: 2026-01-01}\n", 3, "a date", id="date-attribute"),
        pytest.param("users:\n  - username: a\n    attributes: {a: 0x1F}\n", 3, "plain decimal", id="hexadecimal"),
        pytest.param("users:\n  - username: a\n    attributes: {a: 1:30}\n", 3, "plain decimal", id="base-sixty"),
        pytest.param("users:\n  - username: a\n    attributes: {a: 9007199254740992}\n", 3, "2^53", id="too-large"),
        pytest.param("users:\n  - username: a\n    attributes: {a: \"\\0\"}\n", 3, "NUL", id="nul-attribute"),
        pytest.param("users:\n  - username: a\n    attributes: {1: a}\n", 3, "before the colon", id="number-as-key"),
        pytest.param("users:\n  - username: a\n    attributes: {a b: a}\n", 3, "an attribute is", id="bad-attribute"),
        pytest.param(f"users:\n  - username: a\n    attributes: {{a: {'x' * 4100}}}\n", 3, "4096", id="too-much"),
        pytest.param("users:\n  - username: a\n    permissions: [a]\n", 3, "expected fields", id="permissions-list"),
        pytest.param("users:\n  - username: a\n    permissions:\n      a: []\n", 4, "absolute URI", id="bad-resource"),
        pytest.param("resources:\n  - audience: http://a#b\n", 2, "absolute URI", id="fragment"),
        pytest.param("resources:\n  - audience: http://a\n    scopes:\n      - a b\n", 4, "a scope is", id="bad-scope"),
        pytest.param("resources:\n  - audience: http://a\n    claims: {sub: x}\n", 3, "of its own", id="claim-sub"),
        pytest.param("resources:\n  - audience: http://a\n    claims: {a: 1}\n", 3, "a number", id="claim-of-number"),
        pytest.param("clients:\n  - id: A\n", 2, "a client id is", id="bad-client-id"),
        pytest.param("clients:\n  - id: a\n    grant_types: [password]\n", 3, "client_credentials", id="grant-type"),
        pytest.param("clients:\n  - id: a\n    access_token_seconds: 9\n", 3, "10 to 86400", id="life-too-short"),
        pytest.param("clients:\n  - id: a\n    access_token_seconds: 86401\n", 3, "10 to 86400", id="life-too-long"),
        pytest.param("clients:\n  - id: a\n    access_token_seconds: 1.5\n", 3, "plain decimal", id="life-fraction"),
        pytest.param("clients:\n  - id: a\n    refresh: always\n", 3, "rotate, extend, none", id="refresh-policy"),
        pytest.param("clients:\n  - id: a\n    refresh: null\n", 3, "found nothing", id="refresh-of-nothing"),
        pytest.param("clients:\n  - id: a\n    session_idle_seconds: 59\n", 3, "60 to 31536000", id="idle-too-short"),
        pytest.param("clients:\n  - id: a\n    session_absolute_seconds: 31536001\n", 3, "60 to", id="too-long"),
        pytest.param("clients:\n  - id: a\n    refresh_grace_seconds: 301\n", 3, "0 to 300", id="grace-too-long"),
        pytest.param("resources:\n  - audience: http://a\n    introspection_client: A\n", 3, "a client id", id="asker"),
        pytest.param("clients:\n  - id: a\n    secret_file: ''\n", 3, "a path is", id="secret-file-empty"),
        pytest.param("users: &a []\nclients: *a\n", 1, "anchors", id="anchor"),
        pytest.param("users: *a\n", 1, "aliases", id="alias"),
        pytest.param("users:\n  - <<: {username: a}\n", 2, "a merge key", id="merge-key"),
        pytest.param("users:\n  - !!python/object:os.system x\n", 2, "tags", id="python-tag"),
        pytest.param("users: !!str x\n", 1, "tags", id="harmless-tag"),
        pytest.param("users: []\n---\nusers: []\n", 2, "second document", id="two-documents"),
        pytest.param("users:\n\t- a\n", 2, "not YAML", id="tab"),
        pytest.param("users: [\n", 2, "not YAML", id="unfinished"),
        pytest.param("users: []\n# \x07\n", 2, "U+0007", id="control-character"),
        pytest.param("users: " + "[" * (MAX_DEPTH + 1), 1, "nested deeper", id="too-deep"),
        pytest.param("users: " + "[" * 100_000, 1, "nested deeper", id="far-too-deep"),
        pytest.param("#" * (MAX_CHARACTERS + 1), 1, "longer than", id="too-long"),
        pytest.param("\ud800: a\n", 1, "U+D800", id="lone-surrogate"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line(text, line, words) -> None:
    """Whatever is wrong has a line and a sentence."""
    faults = parse(text).faults
    assert faults[0].line == line
    assert words in faults[0].message


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    """One run shows everything that has to be changed."""
    faults = parse(
        dedent("""\
        resources:
          - audience: notes
            scopes: [a b]
        users:
          - username: alice
            rolls: []
            disabled: no
          - roles: [x]
        people: []
        """)
    ).faults
    assert [fault.line for fault in faults] == [2, 3, 6, 7, 8, 9]


EVERY_KIND = dedent("""\
    resources:
      - audience: http://a
        scopes: [notes:read]
      - audience: http://b
        scopes: reports:read
    clients:
      - id: nightly
        acces_token_seconds: 60
        access_token_seconds: 9
        permissions: {"http://a": [notes:write], "http://b": [reports:read]}
      - id: hourly
        permissions: {"http://c": []}
        default_resources: ["http://a"]
      - id: login
        grant_types: [client_credentials]
    users:
      - username: alice
        roles: analyst
        roles: []
        permissions:
          http://c: []
          http://a: [notes:read, notes:share]
      - username: alice
        disabled: no
    people: []
    """)


def test_references_are_told_with_everything_else() -> None:
    """An unknown field, a wrong type, a bound, a repeated key and references to nothing: one round shows them all."""
    found = plan(parse(EVERY_KIND), EMPTY)
    assert isinstance(found, tuple)
    assert [(fault.line, fault.message.split(",")[0].split(":")[0]) for fault in found] == [
        (5, "scopes"),
        (8, "unknown field 'acces_token_seconds'"),
        (9, "access_token_seconds is 10 to 86400 seconds"),
        (10, "the resource http"),
        (12, "there is no resource http"),
        (13, "the default resource http"),
        (15, "the client login cannot have client_credentials"),
        (18, "roles"),
        (19, "'roles' is there twice"),
        (21, "there is no resource http"),
        (22, "the resource http"),
        (23, "the user alice is already on line 17"),
        (24, "expected true or false"),
        (25, "unknown field 'people'"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("resource:\n  - {audience: http://a, scopes: [x]}\n", id="section-misspelt"),
        pytest.param("resources: []\nresources:\n  - {audience: http://a, scopes: [x]}\n", id="section-twice"),
        pytest.param("resources: {http://a: [x]}\n", id="section-of-another-type"),
        pytest.param("resources:\n  - {audiance: http://a, scopes: [x]}\n", id="key-misspelt"),
        pytest.param("resources:\n  - {audience: http://a, scops: [x]}\n", id="field-misspelt"),
        pytest.param("resources:\n  - {audience: http://a, scopes: x}\n", id="field-of-another-type"),
        pytest.param("resources:\n  - audience: http://a\n  - {audience: http://a, scopes: [x]}\n", id="twice"),
        pytest.param("[resources]\n", id="no-sections"),
    ],
)
@pytest.mark.parametrize("prune", [False, True])
def test_a_fault_of_a_resource_makes_none_of_what_refers_to_it(text, prune) -> None:
    """Only what is wrong whatever the resource was meant to be is told: mending one fault makes no other one go."""
    others = "" if text.startswith("[") else "users:\n  - {username: alice, permissions: {'http://a': [x]}}\n"
    manifest = parse(text + others)
    assert manifest.faults
    there = State({("resource", "http://a"): {"name": "A", "scopes": (), "claims": {}}}, frozenset())
    for state in (EMPTY, there):
        assert plan(manifest, state, prune=prune) == manifest.faults


def test_a_fault_of_permissions_makes_none_of_the_defaults() -> None:
    """What a client holds is not known when its permissions cannot be read."""
    manifest = parse("clients:\n  - {id: a, permissions: [x], default_resources: ['http://a']}\n")
    assert len(manifest.faults) == 1
    assert plan(manifest, EMPTY) == manifest.faults


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("clients:\n  - {id: c, grant_types: client_credentials}\n", id="field-of-another-type"),
        pytest.param("clients:\n  - {ID: c, grant_types: [client_credentials]}\n", id="key-misspelt"),
        pytest.param("client:\n  - {id: c, grant_types: [client_credentials]}\n", id="section-misspelt"),
    ],
)
def test_a_fault_of_a_client_makes_none_of_who_introspects(text) -> None:
    """Whether it has a secret is not known when it cannot be read."""
    manifest = parse(text + "resources:\n  - {audience: 'http://a', introspection_client: c}\n")
    assert manifest.faults
    assert plan(manifest, EMPTY) == manifest.faults


def test_a_billion_laughs_stay_unread() -> None:
    """Aliases are refused before anything follows them."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    faults = parse("\n".join(lines)).faults
    assert faults
    assert all("anchors and aliases" in fault.message for fault in faults)


@given(st.text(max_size=60) | st.text(alphabet="users:- []{}\n&*!ab'\"0.~#|>", max_size=80))
def test_no_text_raises(text) -> None:
    """Any text is a manifest, whose faults have lines of that text, and gives a plan or those faults."""
    manifest = parse(text)
    assert all(1 <= fault.line <= text.count("\n") + text.count("\r") + 2 + len(text) for fault in manifest.faults)
    made = plan(manifest, EMPTY)
    if manifest.faults:
        assert isinstance(made, tuple)
        assert set(manifest.faults) <= set(made)


def test_everything_new_is_created_with_defaults() -> None:
    """On an empty database everything is made; what was not mentioned has its default."""
    made = planned(WHOLE + "  - username: bob\n")
    assert [(change.kind, change.key, change.action) for change in made.changes] == [
        ("resource", NOTES, "create"),
        ("client", "nightly", "create"),
        ("user", "alice", "create"),
        ("user", "bob", "create"),
    ]
    assert made.changes[1].needs_secret is True
    assert made.changes[3].after == {"attributes": {}, "roles": (), "permissions": {}, "disabled": False}
    assert made.changes[3].fields == ()
    assert planned("clients:\n  - id: x\n").changes[0].after["name"] == "x"


def test_the_second_time_there_is_nothing_to_do() -> None:
    """A plan made after its own application is empty."""
    state = after(planned(WHOLE))
    again = planned(WHOLE, state)
    assert again.is_empty
    assert {change.action for change in again.changes} == {"unchanged"}
    assert not any(change.needs_secret for change in again.changes)


def test_a_field_that_is_not_mentioned_is_left_alone() -> None:
    """Only what the file says is compared; an empty set is something said."""
    state = after(planned(WHOLE))
    made = planned("users:\n  - username: alice\n    roles: []\n", state)
    (change,) = made.changes
    assert change.action == "update"
    assert [(field.field, field.before, field.after) for field in change.fields] == [("roles", ("a", "b"), ())]
    assert change.after["attributes"] == state.objects["user", "alice"]["attributes"]


def test_a_number_is_no_boolean() -> None:
    """Python thinks that 1 is True; the plan does not."""
    state = after(planned("users:\n  - username: a\n    attributes: {x: 1}\n"))
    assert planned("users:\n  - username: a\n    attributes: {x: true}\n", state).is_empty is False
    assert planned("users:\n  - username: a\n    attributes: {x: 1}\n", state).is_empty


def test_what_the_file_does_not_mention_is_left_alone_or_pruned() -> None:
    """Pruning reaches only the sections that the file has, users first and resources last, and never `login`."""
    objects = dict(after(planned(WHOLE)).objects)
    objects["client", "login"] = {**objects["client", "nightly"], "permissions": {}, "grant_types": ()}
    state = State(objects, frozenset({"nightly"}))
    assert planned("users: []\nresources: []\nclients: []\n", state).left_alone == (
        ("resource", NOTES), ("client", "nightly"), ("user", "alice"),
    )  # fmt: skip
    pruned = planned("users: []\nresources: []\nclients: []\n", state, prune=True)
    assert [(change.kind, change.key, change.action) for change in pruned.changes] == [
        ("user", "alice", "delete"),
        ("client", "nightly", "delete"),
        ("resource", NOTES, "delete"),
    ]
    assert pruned.left_alone == ()
    assert [change.kind for change in planned("users: []\n", state, prune=True).changes] == ["user"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(
            "users:\n  - username: a\n    permissions:\n      http://c: []\n",
            (Fault(4, "there is no resource http://c"),), id="unknown-resource",
        ),
        pytest.param(
            "users:\n  - username: a\n    permissions:\n      http://a:\n        - notes:read\n        - x\n",
            (Fault(6, "the resource http://a has no scope x"),), id="unknown-scope",
        ),
        pytest.param(
            "resources:\n  - audience: http://a\n    scopes: [x]\n"
            "clients:\n  - id: c\n    permissions: {'http://a': [notes:read]}\n",
            (Fault(6, "the resource http://a has no scope notes:read"),), id="scope-that-the-file-removes",
        ),
        pytest.param(
            "clients:\n  - id: c\n    permissions: {}\n    default_resources:\n      - http://a\n",
            (Fault(5, "the default resource http://a is not among the permissions"),), id="default-not-held",
        ),
        pytest.param(
            "clients:\n  - id: login\n    grant_types: [client_credentials]\n",
            (Fault(3, "the client login cannot have client_credentials"),), id="login-for-itself",
        ),
        pytest.param(
            "clients:\n  - id: login\n    session_absolute_seconds: 60\n    session_idle_seconds: 61\n",
            (Fault(4, "session_idle_seconds is at most session_absolute_seconds"),), id="idle-beyond-absolute",
        ),
        pytest.param(
            "resources:\n  - audience: http://a\n    scopes: []\n    introspection_client: nobody\n",
            (Fault(4, "there is no client nobody"),), id="unknown-client",
        ),
        pytest.param(
            "resources:\n  - audience: http://a\n    introspection_client: c\nclients:\n  - id: c\n",
            (Fault(3, "the client c has no secret, and needs one to introspect"),), id="client-without-secret",
        ),
    ],
)  # fmt: skip
def test_a_reference_to_what_will_not_be_there_is_a_fault(text, faults) -> None:
    """Resources and scopes are looked for in the file and in the database, as they will be afterwards."""
    state = after(planned(WHOLE.partition("        introspection_client:")[0]))
    assert plan(read(text), state) == faults


def test_a_resource_that_is_pruned_cannot_be_permitted() -> None:
    """What goes is not there any more for what stays."""
    state = after(planned(WHOLE.partition("        introspection_client:")[0]))
    text = "resources: []\nusers:\n  - username: a\n    permissions: {'http://a': []}\n"
    assert plan(read(text), state, prune=True) == (Fault(4, "there is no resource http://a"),)
