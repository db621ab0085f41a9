"""Cars for the tests of this room: nodes in processes of their own."""

import pytest


@pytest.fixture
def start_car(tiny_model, tmp_path):
    """`start_car(parameters=[...], arguments=[...], namespace=...)`: a Car; all are ended, and must end well."""
    from cars import Car

    cars = []

    def start(**options):
        folder = tmp_path / f"car{len(cars)}"
        folder.mkdir()
        cars.append(Car(options.pop("model", tiny_model), folder, **options))
        return cars[-1]

    yield start
    for car in cars:
        assert car.close() == 0, "the node did not end well at SIGINT"


@pytest.fixture
def car(start_car):
    """A drive node that listens."""
    return start_car().until_listening()
