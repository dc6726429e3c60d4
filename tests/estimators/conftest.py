import pytest


@pytest.fixture
def interrupted():
    """Return what makes a solver that the user interrupts: ``interrupted(kind, at=step, **parameters)``.

    Its steps are counted over all its runs; ``begun`` says how many there were, the interrupted one included.
    """

    def make(kind, at, **parameters):
        steps = []

        class Interrupted(kind):
            @property
            def begun(self):
                return len(steps)

            def start(self, *args, **kwargs):
                state = super().start(*args, **kwargs)
                step = state.step

                def step_or_interrupt():
                    steps.append(state)
                    if len(steps) == at + 1:
                        raise KeyboardInterrupt
                    return step()

                state.step = step_or_interrupt
                return state

        return Interrupted(**parameters)

    return make
