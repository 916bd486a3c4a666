from core.ids import derived_id, new_id


def test_a_part_has_one_id_of_its_own() -> None:
    parent = new_id()
    parts = [derived_id(parent, index) for index in range(100)]
    assert parts == [derived_id(parent, index) for index in range(100)]
    assert len({parent, *parts}) == 101


def test_a_part_is_a_uuid_of_version_7_beside_its_parent() -> None:
    parent = new_id()
    part = derived_id(parent, 0)
    assert part.version == 7
    assert part.variant == parent.variant
    assert part.int >> 80 == parent.int >> 80
