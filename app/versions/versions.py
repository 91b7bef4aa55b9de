"""The versions of the models that a process has loaded: which one judges, which stand beside, and how that changes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from app.errors import (
    BundleError,
    SettingsError,
    StorageUnavailable,
    UnfitVersion,
    UnknownVersion,
    VersionsFixed,
)
from app.inference.canaries import SHADOW, Canary, load_canaries
from app.inference.model import Model
from app.inference.networks import STABLE, Network, Networks
from app.inference.registry import ModelRegistry
from app.judgement.shadow import Shadow
from app.versions.state_file import SETTING, Stamp, StateFile
from app.versions.told import Told
from app.versions.wanted import PREVIOUS, Versions, Wanted, judging, with_loaded

FOLLOW_S: Final = 0.5  # between two looks at the file: one stat each
RETRY_S: Final = 30.0  # after a version that is wanted could not be loaded
T = TypeVar("T")
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is ready to be put in place: versions beside by number, those of them that were loaded for it, and the one
    that is to judge, if it is another. `whole` says whether all that is wanted is there."""

    beside: dict[str, Canary]
    fresh: list[Canary]
    judging: Model | None
    whole: bool


class LoadedVersions:
    """The versions in this process: those of `registry` judge, `beside` are those that the settings name beside.

    With `kept` an operator can change those of the classifier; each worker follows the file. `opened` verifies a
    version by its number and does not load it; raises BundleError. `begin` is called once in the thread that loads.
    """

    def __init__(
        self,
        registry: ModelRegistry,
        networks: Networks,
        beside: Iterable[Canary],
        shadow: Shadow,
        opened: Callable[[str], Canary],
        told: Told,
        kept: StateFile | None,
        begin: Callable[[], None],
    ) -> None:
        self.shadow = shadow
        self._registry = registry
        self._networks = networks
        self._beside = list(beside)
        self._opened = opened
        self._told = told
        self._kept = kept
        self._name = registry.bundle.manifest.name
        self._pool = ThreadPoolExecutor(1, "versions", begin)
        self._followed: Stamp | None = None
        self._retry_at: float | None = None
        self._watching: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Load those beside that the settings name; one that cannot be loaded costs itself alone."""
        self.shadow.start()
        await self._run(self._load)

    async def follow(self) -> None:
        """Once the models run: load what the file wants besides, and follow it from then on."""
        if self._kept is not None:
            await self._run(partial(self._follow, self._kept))
            self._watching = asyncio.create_task(self._watch(self._kept))

    async def add(self, name: str, number: str) -> None:
        """Load a version beside; raises what `change` does."""
        await self._change(name, lambda own: with_loaded(own, number, self._verified(number).digest))

    async def change(self, name: str, wanted: Callable[[Versions], Versions]) -> None:
        """Have other versions of a model loaded, by what is wanted now; what `wanted` raises is raised.

        All is verified and has run its golden case before anything changes. Raises UnfitVersion, VersionsFixed,
        UnknownModel, ModelLoading, and StorageUnavailable where it cannot be kept.
        """
        await self._change(name, wanted)

    async def close(self) -> None:
        """Follow no more, and finish what is being loaded."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self.shadow.close)

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _load(self) -> None:
        load_canaries(self._beside, self._told.loaded)
        self._use_shadow()

    async def _watch(self, kept: StateFile) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            again = self._retry_at is not None and time.monotonic() >= self._retry_at
            with suppress(OSError):  # of a folder that is away for a while
                if again or (self._retry_at is None and kept.stamp() != self._followed):
                    await self._run(partial(self._follow, kept))

    def _follow(self, kept: StateFile) -> None:
        try:
            stamp = kept.stamp()
            wanted = kept.read().get(self._name)
            whole = wanted is None or self._put(wanted, self._prepared(wanted, {judging(wanted)}))
            self._followed = stamp
        # Whatever it is: what is loaded goes on, and the metrics say that it is not what is wanted.
        except Exception as error:
            logger.error("the versions that are wanted cannot be loaded: %s", error, exc_info=error)
            whole = False
        self._note(whole=whole)

    def _note(self, *, whole: bool) -> None:
        self._retry_at = None if whole else time.monotonic() + RETRY_S
        self._told.behind(behind=not whole)

    async def _change(self, name: str, wanted: Callable[[Versions], Versions]) -> None:
        self._networks.versions(name)
        if self._kept is None or name != self._name:
            raise VersionsFixed(
                found="a service without a folder for versions" if self._kept is None else "another model",
                expected=f"{SETTING}, and {self._name}",
                remedy=f"Set {SETTING} to a folder on a local disk; other models are moved by settings and SIGHUP.",
            )
        self._registry.models()
        await self._run(partial(self._changed, self._kept, wanted))

    def _changed(self, kept: StateFile, change: Callable[[Versions], Versions]) -> None:
        with ExitStack() as until_done:
            with _available():
                until_done.enter_context(kept.locked())
                all_kept = kept.read()
            own = all_kept.get(self._name) or self._here()
            wanted = change(own)
            plan = self._prepared(wanted, {judging(wanted), *(wanted.keys() - own.keys())})
            with _available():
                kept.write({**all_kept, self._name: wanted})
                self._followed = kept.stamp()
            self._note(whole=self._put(wanted, plan))

    def _here(self) -> Versions:
        """Those that are loaded, as if somebody had wanted them."""
        bundle = self._registry.bundle
        beside = {number: Wanted(each.label, each.digest) for number, each in self._own().items()}
        return {str(bundle.manifest.version): Wanted(STABLE, bundle.digest), **beside}

    def _own(self) -> dict[str, Canary]:
        """The classifier's versions beside, by number."""
        own = (each for each in self._beside if each.manifest.name == self._name and each.state == "ready")
        return {str(each.manifest.version): each for each in own}

    def _prepared(self, wanted: Versions, required: set[str]) -> _Plan:
        """What is wanted, loaded and checked; nothing is changed by that.

        Raises UnfitVersion and UnknownVersion for one that is `required`; another one that is unfit is left out.
        """
        here, now = self._own(), str(self._registry.bundle.manifest.version)
        beside, fresh = {}, []
        if now in wanted and wanted[now].digest != self._registry.bundle.digest:
            raise _changed_on_disk(now)
        for number in wanted.keys() - {now}:
            try:
                beside[number] = here.get(number) or self._loaded(number)
                if beside[number].digest != wanted[number].digest:
                    del beside[number]
                    raise _changed_on_disk(number)
            except (UnfitVersion, UnknownVersion) as error:
                if number in required:
                    raise
                logger.error("version %s, which is wanted beside, cannot be used: %s", number, error)
            else:
                fresh += [] if number in here else [beside[number]]
        stable = judging(wanted)
        model = None if stable == now else _checked(beside[stable], self._registry.site_threshold)
        return _Plan(beside, fresh, model, whole=beside.keys() >= wanted.keys() - {now})

    def _loaded(self, number: str) -> Canary:
        version = self._verified(number)
        try:
            version.load()
        except BundleError as error:
            raise _unfit(number, error) from error
        # Whatever a runtime raises while it loads: what judges is loaded already.
        except Exception as error:
            logger.error("version %s cannot be loaded", number, exc_info=error)
            raise UnfitVersion(
                found=f"version {number}, at whose weights its runtime fails ({type(error).__name__})",
                expected="a bundle that its runtime can load",
                remedy="The log says where. Nothing was changed.",
            ) from error
        _checked(version, self._registry.site_threshold)
        return version

    def _verified(self, number: str) -> Canary:
        try:
            return self._opened(number)
        except BundleError as error:
            raise _unfit(number, error) from error

    def _put(self, wanted: Versions, plan: _Plan) -> bool:
        """Put what is ready in place. Whoever has begun with a version ends with it. Returns whether that is all."""
        for each in plan.fresh:
            self._told.loaded(each.manifest, each.digest, each.backend.name)
        beside = dict(plan.beside)
        if plan.judging is not None:
            beside.pop(judging(wanted))
            old = self._registry.exchange(plan.judging)
            bundle = old.bundle
            number = str(bundle.manifest.version)
            beside[number] = Canary(bundle.path, bundle.manifest, bundle.digest, old.backend, PREVIOUS, "ready")
            self._told.exchanged(self._name, judging(wanted), number)
        before = self._own() | beside
        kept = {number: each for number, each in beside.items() if number in wanted}
        for number, each in kept.items():
            each.label = wanted[number].label
        others = [each for each in self._beside if each.manifest.name != self._name]
        self._beside = [*others, *kept.values()]
        self._networks.replace(self._name, self._all_networks(kept.values()))
        self._use_shadow()
        for number, each in before.items():
            if number not in wanted:
                self._told.dropped(each)
        return plan.whole

    def _all_networks(self, beside: Iterable[Canary]) -> list[Network]:
        registry = self._registry
        own = Network.of(registry.bundle.manifest, registry.bundle.digest, registry.backend, lambda: registry.status)
        highest_first = sorted(beside, key=lambda each: -each.manifest.version)
        return [own, *(each.network(own.input_name) for each in highest_first)]

    def _use_shadow(self) -> None:
        self.shadow.use(None)
        for each in self._beside:
            if each.label == SHADOW and each.state == "ready":
                try:
                    self.shadow.use(each.model(self._registry.site_threshold))
                except BundleError as error:
                    each.state = "failed"
                    logger.error("version %s cannot be the shadow: %s", each.manifest.version, error)


@contextmanager
def _available() -> Iterator[None]:
    """Say what it means where the folder of versions cannot be used in the block; raises StorageUnavailable."""
    try:
        yield
    except (OSError, SettingsError) as error:
        raise StorageUnavailable(
            found=f"{SETTING}: {error.found if isinstance(error, SettingsError) else error.strerror}",
            expected="a folder in which it can be kept which versions are wanted",
            remedy="Nothing was changed. The operator of this service has to look after it.",
        ) from error


def _checked(version: Canary, site_threshold: float | None) -> Model:
    """It as what judges, warmed and its golden case run through the path of every request; raises UnfitVersion."""
    try:
        return version.model(site_threshold)
    except BundleError as error:
        raise _unfit(str(version.manifest.version), error) from error


def _unfit(number: str, error: BundleError) -> UnfitVersion:
    return UnfitVersion(
        found=f"version {number}: {error.found}",
        expected=error.expected,
        remedy=f"{error.remedy} What judged before goes on.",
    )


def _changed_on_disk(number: str) -> UnfitVersion:
    return UnfitVersion(
        found=f"version {number} with another manifest than it had when it was loaded first",
        expected="versions whose files stay as they are",
        remedy="Give what has changed a number of its own, or unload the version everywhere first.",
    )
