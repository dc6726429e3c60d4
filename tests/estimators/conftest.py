import pytest


@pytest.fixture
def interrupted():
    """Return what makes a component that the user interrupts: ``interrupted(kind, at=1, **parameters)``.

    The steps of a solver, over all its runs, or the calls of a search are counted; ``begun`` says how many there were,
    the one interrupted included.
    """

    def make(kind, at, **parameters):
        begun = []

        def counted(method):
            def counted_method(*args, **kwargs):
                begun.append(None)
                if len(begun) == at:
                    raise KeyboardInterrupt
                return method(*args, **kwargs)

            return counted_method

        class Interrupted(kind):
            @property
            def begun(self):
                return len(begun)

        class Solver(Interrupted):
            def start(self, *args, **kwargs):
                state = super().start(*args, **kwargs)
                state.step = counted(state.step)
                return state

        class Search(Interrupted):
            def search(self, *args, **kwargs):
                return counted(super().search)(*args, **kwargs)

        return (Search if hasattr(kind, "search") else Solver)(**parameters)

    return make
