from runtime.values import Values


def test_a_step_changes_a_copy_and_says_what_it_changed() -> None:
    before = {"a": [1], "b": 2}
    values = Values(before)
    values["a"].append(2)  # of the copy that it gave
    values["c"] = 3
    del values["b"]
    assert dict(values) == {"a": [1], "c": 3}
    assert (values.changes, values.removed) == ({"c": 3}, ["b"])
    assert before == {"a": [1], "b": 2}


def test_what_is_set_again_is_not_removed() -> None:
    values = Values({"a": 1})
    del values["a"]
    assert "a" not in values
    values["a"] = 2
    assert (values.changes, values.removed, len(values)) == ({"a": 2}, [], 1)


def test_what_comes_and_goes_in_one_step_leaves_nothing() -> None:
    values = Values({})
    values["a"] = 1
    del values["a"]
    assert (values.changes, values.removed, list(values)) == ({}, [], [])


def test_a_key_that_is_not_there_is_an_error() -> None:
    assert Values({}).get("a") is None
    assert Values({"a": 1}).pop("a") == 1
