"""A comparison as a FHIR R4 Bundle: the findings of both series, and an Observation for the change of each nodule."""

from __future__ import annotations

from collections.abc import Iterator

from fhir.resources.R4B.diagnosticreport import DiagnosticReport
from fhir.resources.R4B.imagingstudy import ImagingStudy
from fhir.resources.R4B.observation import Observation
from pydicom.sr.coding import Code

from app.comparison.growth import OpenInterval
from app.reports import codes
from app.reports.compared import ComparedReport, NumberedNodule, comparison_summary, nodule_words
from app.reports.fhir import attachment, bundle_of, diagnostic_report
from app.reports.fhir_components import body_site
from app.reports.fhir_guidelines import guideline_addresses, guideline_observations
from app.reports.fhir_resources import (
    DATA_ABSENT,
    NOT_APPLICABLE,
    NOT_PERFORMED,
    Addresses,
    checked,
    device,
    dicom_identifier,
    finding_observation,
    imaging_observation,
    own_identifier,
    study,
    whole_observation,
)
from app.reports.fhir_values import Json, concept, concept_of, quantity
from app.reports.figures import significant
from app.reports.report import Report


def write_comparison_bundle(compared: ComparedReport, pdf: bytes | None = None) -> Json:
    """DiagnosticReport on the current series, for each series an Observation of the whole and of each finding shown,
    one for each nodule's change, ImagingStudy and Device, as JSON values. `pdf` is the page for people, where it is
    wanted."""
    bundle = _Bundle(compared)
    return bundle_of(compared.current, bundle.resources(pdf), own_identifier(compared.current, bundle.name("bundle")))


class _Bundle:
    """A comparison, and what the resources of its bundle are called."""

    def __init__(self, compared: ComparedReport) -> None:
        self._compared = compared
        current, prior = compared.current, compared.prior
        self._pair = f"{current.instance_uid('sr')} {prior.instance_uid('sr')}"
        self._now = Addresses(current, "current", self._pair)
        self._before = Addresses(prior, "prior", self._pair)
        if prior.device_uid == current.device_uid:
            self._before.device = self._now.device
        if prior.sources[0].study_instance_uid == current.sources[0].study_instance_uid:
            self._before.study = self._now.study

    def name(self, name: str) -> str:
        """What an identifier is made of, for what is of this pair alone."""
        return f"{name} {self._pair}"

    def resources(self, pdf: bytes | None) -> list[Json]:
        """All, the DiagnosticReport first."""
        observations: list[Json] = []
        for report, addresses in self._sides():
            observations.append(whole_observation(report, addresses))
            observations += [finding_observation(report, f, addresses) for f in report.findings]
        current = self._compared.current
        observations += [_Change(self, each).resource() for each in self._compared.nodules]
        observations += guideline_observations(current, self._now)
        return [self._report(pdf), *observations, *self._devices(), *self._studies()]

    def change_address(self, numbered: NumberedNodule) -> str:
        """Of the Observation of a nodule's change."""
        return self._now.of("change", numbered.number)

    def base(self, numbered: NumberedNodule) -> Json:
        """An Observation on a nodule that derives from those of its findings."""
        current, name = self._compared.current, self.name(f"change-{numbered.number}")
        resource = imaging_observation(current, self.change_address(numbered), name, self._now)
        resource["identifier"].append(dicom_identifier(numbered.tracking_uid))
        nodule, days = numbered.nodule, self._compared.comparison.interval.days
        found = ((self._now, nodule.current), (self._before, nodule.prior))
        derived = [side.findings[finding.id] for side, finding in found if finding is not None]
        derived += [address for address in dict.fromkeys((self._now.study, self._before.study)) if address]
        resource["derivedFrom"] = [{"reference": address} for address in derived]
        if days is not None:
            resource["component"] = [{"code": concept(codes.DAYS_BETWEEN), "valueQuantity": quantity(days, codes.DAY)}]
        return resource

    def _sides(self) -> Iterator[tuple[Report, Addresses]]:
        yield self._compared.current, self._now
        yield self._compared.prior, self._before

    def _report(self, pdf: bytes | None) -> Json:
        current, now = self._compared.current, self._now
        changes = map(self.change_address, self._compared.nodules)
        results = (now.whole, *now.findings.values(), *changes, *guideline_addresses(current, now))
        identifier = own_identifier(current, self.name("report"))
        resource = diagnostic_report(current, now, identifier, results, comparison_summary(self._compared))
        studies = [address for address in dict.fromkeys((now.study, self._before.study)) if address]
        if studies:
            resource["imagingStudy"] = [{"reference": address} for address in studies]
        if pdf is not None:
            resource["presentedForm"] = [attachment(current, pdf)]
        return checked(DiagnosticReport, resource)

    def _devices(self) -> Iterator[Json]:
        yield device(self._compared.current, self._now)
        if self._before.device != self._now.device:
            yield device(self._compared.prior, self._before)

    def _studies(self) -> list[Json]:
        """One or two: series of one study stand in one."""
        written = [study(report, addresses) for report, addresses in self._sides() if addresses.study is not None]
        if len(written) < 2 or self._before.study != self._now.study:
            return written
        now, before = written
        known = {series["uid"] for series in now["series"]}
        now["series"] += [series for series in before["series"] if series["uid"] not in known]
        return [checked(ImagingStudy, now)]


class _Change:
    """What has become of one nodule."""

    def __init__(self, bundle: _Bundle, numbered: NumberedNodule) -> None:
        self._numbered, self._nodule = numbered, numbered.nodule
        self._resource = bundle.base(numbered)

    def resource(self) -> Json:
        """The Observation: the change of the volume is its value, all else its components."""
        resource, nodule = self._resource, self._nodule
        resource["code"] = concept(codes.SIZE_DIFFERENCE)
        resource["method"] = concept(codes.OF_VOLUMES)
        if (finding := nodule.current or nodule.prior) is not None:
            resource["bodySite"] = body_site(finding)
        resource["component"] = [*resource.get("component", ()), *self._verdict(), *self._numbers()]
        if nodule.change is None:
            why = NOT_PERFORMED if nodule.verdict == "not_compared" else NOT_APPLICABLE
            resource["dataAbsentReason"] = concept_of(DATA_ABSENT, *why)
        else:
            resource["valueQuantity"] = quantity(significant(100 * nodule.change.share.value), codes.PERCENT)
        resource["note"] = [{"text": nodule_words(self._numbered)}]
        return checked(Observation, resource)

    def _verdict(self) -> Iterator[Json]:
        nodule = self._nodule
        possible = () if nodule.change is None else nodule.change.possible
        for name, verdict in ((codes.VERDICT, nodule.verdict), *((codes.POSSIBLE_VERDICT, each) for each in possible)):
            yield {"code": concept(name), "valueCodeableConcept": concept(codes.VERDICTS[verdict])}
        told = [(codes.PACE, pace) for pace in (() if nodule.doubling is None else nodule.doubling.paces)]
        for code, word in (*told, (codes.NO_DOUBLING, nodule.no_doubling), (codes.NOT_COMPARED, nodule.reason)):
            if word is not None:
                yield {"code": concept(code), "valueString": word}

    def _numbers(self) -> Iterator[Json]:
        nodule = self._nodule
        if nodule.change is not None:
            yield from _interval(codes.SIZE_INTERVAL, nodule.change.share.times(100), codes.PERCENT)
        if nodule.doubling is not None:
            days = nodule.doubling.rounded
            value = quantity(significant(days.value), codes.DAY)
            yield {"code": concept(codes.DOUBLING_TIME), "valueQuantity": value}
            yield from _interval(codes.DOUBLING_INTERVAL, days, codes.DAY)


def _interval(name: Code, measured: OpenInterval, unit: Code) -> Iterator[Json]:
    """A Range without the ends that are open."""
    ends = {"low": measured.low, "high": measured.high}
    told = {end: quantity(significant(at), unit) for end, at in ends.items() if at is not None}
    if told:
        yield {"code": concept(name), "valueRange": told}
