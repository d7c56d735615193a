"""Loading without a look for garbage."""

import gc

import pytest

from xrdmatch.system.startup import no_garbage


@pytest.fixture(autouse=True)
def as_it_was():
    yield
    gc.unfreeze()
    gc.enable()


def test_what_is_loaded_is_kept_and_garbage_is_looked_for_afterwards():
    with no_garbage():
        assert not gc.isenabled()
        made = [[] for _ in range(5000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(made)


def test_after_an_error_as_well():
    with pytest.raises(KeyError), no_garbage():
        raise KeyError
    assert gc.isenabled()
