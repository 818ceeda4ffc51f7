"""What can go wrong in the engine.

    EngineError
    ├── InputError           the portrait, the speech or a parameter cannot be used; trying again cannot help
    │   ├── PortraitError
    │   ├── SpeechError
    │   ├── SpecError        a parameter out of its range
    │   ├── PlanError        a chunk length or geometry that cannot be
    │   └── ProvenanceError  a video that says nothing of where it comes from, or nothing that can be read
    ├── UnknownRendererError no renderer of that name
    ├── MissingExtraError    an optional package is not installed; names the install line
    ├── WeightsError         a model file is missing or is not the one wanted; says which and where it comes from
    ├── DeviceError          the device asked for cannot be used; says what would help
    ├── HubError             the hub of models cannot be reached, or refuses
    ├── ContractError        a result that breaks the delivery contract
    └── RenderError          rendering failed; another attempt may succeed

`code` is the stable word by which programs tell the cases apart; the message is for people.
"""

from __future__ import annotations


class EngineError(Exception):
    """Root of everything the engine raises on purpose."""

    code = "engine_error"


class InputError(EngineError):
    """Raised when an input cannot be used; trying again cannot help."""

    code = "bad_input"


class PortraitError(InputError):
    """Raised when the portrait cannot be read or shows no usable face."""

    code = "bad_portrait"


class SpeechError(InputError):
    """Raised when the speech cannot be decoded or has a length that cannot be rendered."""

    code = "bad_speech"


class SpecError(InputError):
    """Raised when render parameters are out of range; `problems` has one sentence each."""

    code = "bad_parameter"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class PlanError(InputError):
    """Raised when no chunk plan can be made for the geometry asked for."""

    code = "bad_plan"


class ProvenanceError(InputError):
    """Raised when a video carries no provenance, or one that cannot be read."""

    code = "no_provenance"


class UnknownRendererError(EngineError):
    """Raised when no renderer of that name is declared here."""

    code = "unknown_renderer"


class MissingExtraError(EngineError):
    """Raised when an optional package is needed; the message names the install line."""

    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the {extra!r} extra: pip install 'sonic-farm[{extra}]'")


class WeightsError(EngineError):
    """Raised when model files are missing or wrong; `problems` has one sentence each."""

    code = "bad_weights"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class DeviceError(EngineError):
    """Raised when the device asked for cannot be used; says what would help."""

    code = "no_device"


class HubError(EngineError):
    """Raised when the hub of models cannot be reached or refuses; says what would help."""

    code = "hub"


class ContractError(EngineError):
    """Raised when a finished video breaks the delivery contract; it is never published."""

    code = "contract_broken"

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class RenderError(EngineError):
    """Raised when rendering a chunk failed in a way that another attempt may survive."""

    code = "render_failed"
