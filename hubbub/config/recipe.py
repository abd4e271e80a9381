"""The recipe: all settings of an experiment in one frozen object, read from and written to TOML.

`Recipe.load("esc50-yamnet")` reads a shipped recipe, a path reads any other; `[quick]` holds the overrides that
`--quick` applies, and `--set a.b=c` overrides any field. An unknown key is an error that names the nearest match.
The sections are in the other modules of `config/`; here are the recipe, the rules between sections, and reading.
"""

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Self

import tomli_w
from pydantic import Field, ValidationError, model_validator

from hubbub.config.augment import SPECTROGRAM, Augment
from hubbub.config.data import Data, Protocol
from hubbub.config.mistakes import explain_error
from hubbub.config.other_names import explain_name
from hubbub.config.searchable import refuse_unsearchable
from hubbub.config.seconds import in_samples
from hubbub.config.sections import AudioSettings, Evaluate, FrontEnd, Head, Network, Section, Windows
from hubbub.config.settings import RecipeError, asks_for_another, merge, nested, parse_setting, read_toml
from hubbub.config.teacher import Teacher
from hubbub.config.titles import title_after
from hubbub.config.train import Train
from hubbub.config.tune import Tune
from hubbub.errors import did_you_mean

__all__ = ["RECIPE", "Recipe", "RecipeError", "shipped"]

#: The file of a run's resolved recipe. It marks a run folder.
RECIPE = "recipe.toml"

#: Networks that score the frames of a segment.
FRAMEWISE = ("framewise", "yamnet_framewise")
#: The setting of each head whose candidates the validation part chooses from.
CANDIDATES = {"logreg": "c", "lda": "shrinkage", "mlp": "epochs", "ensemble": "epochs"}


class Recipe(Section):
    """All settings of an experiment."""

    title: str = Field("", description="one line that says what the recipe is")
    data: Data
    protocol: Protocol = Protocol()
    audio: AudioSettings = AudioSettings()
    windows: Windows = Windows()
    frontend: FrontEnd = FrontEnd()
    network: Network = Network()
    head: Head = Head()
    augment: Augment = Augment()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    teacher: Teacher | None = Field(None, description="a frozen network to learn from, besides the labels")
    tune: Tune | None = Field(None, description="the search of hubbub tune")
    quick: dict[str, Any] = Field(default_factory=dict, description="overrides of the sections above for --quick")

    @model_validator(mode="before")
    @classmethod
    def _seconds_are_samples(cls, content: Any) -> Any:
        return in_samples(content, AudioSettings().rate_hz)

    @model_validator(mode="after")
    def _epochs_need_validation(self) -> Self:
        tried = CANDIDATES.get(self.head.name)
        if self.protocol.validation == "none" and tried and len(getattr(self.head, tried)) > 1:
            raise ValueError(f"protocol.validation is 'none', so head.{tried} must hold one value")
        return self

    @model_validator(mode="after")
    def _views_need_a_head(self) -> Self:
        for name in ("levels", "speeds"):
            if self.head.name == "none" and getattr(self.windows, name) != getattr(Windows(), name):
                raise ValueError(f"windows.{name} are for heads on frozen embeddings: set head.name, or leave them out")
        return self

    @model_validator(mode="after")
    def _scored_segments_overlap(self) -> Self:
        if self.evaluate.hop and self.evaluate.hop > self.windows.length:
            raise ValueError(f"evaluate.hop {self.evaluate.hop} leaves gaps between segments of {self.windows.length}")
        return self

    @model_validator(mode="after")
    def _heads_take_no_augmentation(self) -> Self:
        if self.head.name != "none" and (self.evaluate.shifts or self.augment != Augment()):
            raise ValueError("augment and evaluate.shifts are for networks that are trained: set head.name = 'none'")
        return self

    @model_validator(mode="after")
    def _spectrograms_come_from_a_front_end(self) -> Self:
        chosen = [name for name in SPECTROGRAM if getattr(self.augment, name)]
        if self.frontend.name == "none" and chosen:
            raise ValueError(f"augment.{chosen[0]} changes spectrograms, and frontend.name is 'none': leave it out")
        return self

    @model_validator(mode="after")
    def _taught_networks_learn(self) -> Self:
        if self.teacher and self.frozen:
            raise ValueError(
                "teacher is for a network that is trained: leave it out, or set head.name = 'none' and "
                "network.mode = 'finetune'"
            )
        if self.teacher and self.augment.crop:
            raise ValueError("teacher knows the sounds of the segments of windows: set augment.crop = false")
        if self.teacher and self.teacher.pretrain and self.frontend.name != "logmel":
            raise ValueError("teacher.pretrain is for networks on log-mel spectrograms: set frontend.name = 'logmel'")
        wanted = self.teacher and self.teacher.pretrain and self.teacher.pretrain.outliers
        if wanted and self.evaluate.unknown != "outliers":
            raise ValueError(
                "teacher.pretrain.outliers is for open-set rejection by outliers: set evaluate.unknown = 'outliers'"
            )
        return self

    @model_validator(mode="after")
    def _blocks_are_fine_tuned(self) -> Self:
        if (chosen := self.by_blocks) and (self.head.name != "none" or self.network.mode != "finetune"):
            raise ValueError(
                f"{chosen[0]} is for a network that is fine-tuned: leave it out, or set head.name = 'none' and "
                "network.mode = 'finetune'"
            )
        return self

    @model_validator(mode="after")
    def _statistics_come_from_the_training_part(self) -> Self:
        frozen = self.head.name != "none" or self.network.mode != "finetune"
        if self.frontend.standardise == "training" and frozen:
            raise ValueError(
                "frontend.standardise = 'training' differs between folds, but a frozen network embeds each clip once "
                "for all folds: set it to imagenet, half or none"
            )
        return self

    @model_validator(mode="after")
    def _attention_learns(self) -> Self:
        if self.head.name != "none" and self.network.learnt:
            raise ValueError(
                f"network.{self.network.learnt} must be trained, but under a head the network is frozen: leave it out, "
                "or set head.name = 'none' and network.mode = 'head', which trains it and the last layer"
            )
        return self

    @model_validator(mode="after")
    def _texts_are_claps(self) -> Self:
        if self.head.name == "zeroshot" and self.network.name not in ("clap", "audioclip"):
            raise ValueError(
                "head.name = 'zeroshot' compares sounds with texts, as clap and audioclip do: set network.name"
            )
        return self

    @model_validator(mode="after")
    def _frames_learn(self) -> Self:
        if self.head.name != "none" and self.framewise:
            raise ValueError(
                f"a head is for one embedding a segment, and network.name = '{self.network.name}' has one a frame: set "
                "head.name = 'none' (network.mode = 'head' keeps published weights), or name another network"
            )
        return self

    @model_validator(mode="after")
    def _frames_are_scored_once(self) -> Self:
        for name, hop in (("windows.hop", self.windows.hop), ("evaluate.hop", self.evaluate.hop or self.windows.hop)):
            if self.framewise and hop != self.windows.length:
                raise ValueError(
                    f"{name} {hop} is not windows.length {self.windows.length}: segments of network.name = "
                    f"'{self.network.name}' lie beside each other, so that each frame is scored once. Set both alike"
                )
        return self

    @model_validator(mode="after")
    def _one_test_part(self) -> Self:
        if self.data.test and self.protocol.kind not in ("auto", "fixed"):
            raise ValueError(f"data.test is the test part, so protocol.kind cannot be '{self.protocol.kind}': set auto")
        return self

    @model_validator(mode="after")
    def _plateau_needs_validation(self) -> Self:
        if self.protocol.validation == "none" and self.train.schedule == "plateau":
            raise ValueError("protocol.validation is 'none', so train.schedule cannot be 'plateau'")
        return self

    @model_validator(mode="after")
    def _distances_are_scaled_on_validation_clips(self) -> Self:
        if self.evaluate.unknown == "distance" and self.data.held_out and self.protocol.validation == "none":
            raise ValueError(
                "evaluate.unknown = 'distance' is scaled on validation clips, and protocol.validation is 'none', so "
                "data.held_out cannot be scored: set protocol.validation, or evaluate.unknown = 'max_prob'"
            )
        return self

    @model_validator(mode="after")
    def _quick_names_known_fields(self) -> Self:
        """Check each override by the rule of its field; rules between fields are checked when they are applied."""
        if "quick" in self.quick:
            raise ValueError("quick: [quick] has no section quick of its own: leave it out")
        try:
            type(self).model_validate(self.quick)
        except ValidationError as error:
            wrong = [e for e in error.errors() if e["type"] not in ("missing", "value_error")]
            if wrong:
                raise ValueError("quick: " + "; ".join(explain_error(e, type(self)) for e in wrong)) from error
        waiting: list[Any] = [self.quick]
        while waiting:  # a number that is taken as a text
            value = waiting.pop()
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"quick: {value} is no finite number, and no setting takes it: leave it out")
            waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
        return self

    @model_validator(mode="after")
    def _whole_space_is_valid(self) -> Self:
        for name, values in self.tune.space.items() if self.tune else ():
            for value in values.ends:
                fields = values.fields(name, value)
                try:
                    self.altered(fields)
                except RecipeError as error:
                    raise ValueError(
                        f"tune.space '{name}' = {value!r}: {str(error).removeprefix('recipe: ')}"
                    ) from error
                for field in fields:
                    refuse_unsearchable(self, field)
        return self

    @property
    def by_blocks(self) -> list[str]:
        """The settings of this recipe that go by the blocks of its network."""
        chosen = {
            "network.trained_blocks": self.network.trained_blocks is not None,
            "network.lora_rank": self.network.lora_rank > 0,
            "train.layer_decay": self.train.layer_decay < 1,
            "train.checkpointing": self.train.checkpointing,
        }
        return [name for name, one in chosen.items() if one]

    @property
    def framewise(self) -> bool:
        """Whether the network scores the frames of a segment, and not the segment as a whole."""
        return self.network.name in FRAMEWISE

    @property
    def frozen(self) -> bool:
        """Whether only what follows the network's embeddings is fitted to the data."""
        added = self.network.learnt or self.framewise
        return self.head.name != "none" or (self.network.mode == "head" and not added)

    def altered(self, fields: Mapping[str, Any]) -> Self:
        """This recipe without `[tune]`, `[quick.tune]` too, and with dotted fields changed, e.g. `{"train.epochs": 3}`.

        A field that holds a list takes a single value as a list of one. Raises `RecipeError`.
        """
        content = self.model_dump(mode="json", exclude_none=True, exclude={"tune": True, "quick": {"tune"}})
        for field, value in fields.items():
            current: Any = content
            for key in field.split("."):
                current = current.get(key) if isinstance(current, dict) else None
            listed = [value] if isinstance(current, list) and not isinstance(value, list | tuple) else value
            merge(content, nested(field.split("."), listed))
        return self.of(content).retitled(self)

    def with_settings(self, settings: Sequence[str]) -> Self:
        """This recipe with `--set` settings applied. Raises `RecipeError`."""
        content = self.model_dump(mode="json", exclude_none=True)
        for setting in settings:
            merge(content, parse_setting(setting))
        return self.of(content).retitled(self)

    def retitled(self, before: "Recipe | None") -> Self:
        """This recipe, which was made from `before`, with a title that is true of it; a title of its own stays."""
        if before is not None and before.title != self.title:
            return self
        return self.model_copy(update={"title": title_after(self.title, before, self)})

    @classmethod
    def load(
        cls,
        name: str | Path,
        settings: tuple[str, ...] | list[str] = (),
        *,
        quick: bool = False,
        sections: Mapping[str, Any] | None = None,
    ) -> Self:
        """A shipped recipe's name or a TOML file -> Recipe: with `sections` in place of its own, then `[quick]`, then
        `--set` settings applied. The title says what is run.

        If `--set` names `protocol.kind`, or folds where `[quick]` has a kind, the protocol of `[quick]` is ignored.
        """
        content, overrides = _read(name), [parse_setting(setting) for setting in settings]
        content |= sections or {}
        if quick:
            if not content.get("quick"):
                raise RecipeError(f"{name} has no [quick] section. Run it in full, or add one.")
            if isinstance(content["quick"], dict):  # anything else is refused below
                changes = dict(content["quick"])
                if asks_for_another(changes.get("protocol"), overrides):
                    changes.pop("protocol")
                merge(content, changes)
        for one in overrides:
            merge(content, one)
        made = cls.of(content, str(name))
        if not (quick or overrides or sections):
            return made
        written = {key: value for key, value in _read(name).items() if key not in ("quick", "tune")}
        before = None if made.title == written.get("title") else made
        with suppress(RecipeError):  # a file may be valid by these settings alone
            before = cls.of(written)
        return made.retitled(before)

    @classmethod
    def of(cls, content: dict[str, Any], source: str = "recipe") -> Self:
        """A plain dict -> Recipe. Raises `RecipeError`, with the nearest match of an unknown key."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            # A list with wrong values is reported as too short as well.
            found = [e for e in error.errors() if e["type"] != "too_short"] or error.errors()
            raise RecipeError(f"{source}: " + "; ".join(explain_error(e, cls) for e in found)) from error
        except RecursionError as error:
            raise RecipeError(f"{source} is nested too deeply. No setting is more than a few levels deep.") from error

    def to_toml(self) -> str:
        """The recipe as TOML with all fields; a field without a value is left out (TOML has no null)."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


@cache
def shipped() -> Mapping[str, str]:
    """Names and titles of the shipped recipes."""
    return {name: tomllib.loads(file.read_text(encoding="utf-8"))["title"] for name, file in _shipped_files().items()}


@cache
def _shipped_files() -> dict[str, Traversable]:
    files = resources.files("hubbub.config").joinpath("recipes").iterdir()
    named = {f.name.removesuffix(".toml"): f for f in files if f.name.endswith(".toml")}
    return dict(sorted(named.items()))


def _read(name: str | Path) -> dict[str, Any]:
    path = Path(name)
    if path.suffix == ".toml":
        if not os.path.isfile(path):
            raise RecipeError(f"{path} is not a file. Give a recipe's TOML file, or a shipped recipe's name.")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise RecipeError(f"{path} cannot be read: {error.strerror or error}. Make it readable.") from error
    elif str(name) in _shipped_files():
        content = _shipped_files()[str(name)].read_bytes()
    else:
        near = explain_name(str(name), Recipe) or did_you_mean(str(name), _shipped_files())
        raise RecipeError(f"'{name}' is not a shipped recipe, nor a .toml file. {near}")
    return read_toml(content, str(name))
