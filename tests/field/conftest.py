"""Says what became of the mutated inputs."""

from tests.field import mutations


def pytest_terminal_summary(terminalreporter):
  kinds = sorted({kind for kind, _ in mutations.OUTCOMES})
  for kind in kinds:
    read, refused = (
      mutations.OUTCOMES[kind, what] for what in ('read', 'refused')
    )
    terminalreporter.write_line(
      f'mutated {kind}: {read + refused:,} inputs, {read:,} read, '
      f'{refused:,} refused in one line'
    )
