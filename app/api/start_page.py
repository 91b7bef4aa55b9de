"""What stands first on the docs pages: what to try, and what to do about each error."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from app.api.problems import HTTP_CODES, INTERNAL, PROBLEMS, ProblemType

# A line end within a paragraph would be one on the page too.
INTRODUCTION: Final = (
    '<img src="favicon.ico" alt="" width="56" height="56">\n\n'
    "Is a lung cancer suspected on this CT slice or series, how sure is that, why, where, or can it not be told?\n\n"
    "**Research use only. Not a medical device.**\n\n"
    "### What to try first\n\n"
    "On [the page with forms](docs):\n\n"
    "1. Open **Judge one CT slice** below, download [the phantom slice](docs/example-slice.dcm), choose it as `file`, "
    "write `148,240` as `roi`, and press **Execute**. Read `decision` first, then `reasons` and `quality`.\n"
    "2. Choose `image/png` as media type of the answer with code 200, and press **Execute** again: the same judgement "
    "as a picture.\n"
    "3. Leave out `roi`: the lungs are searched.\n"
    "4. Open **Judge one CT series**, and send [the phantom series](docs/example-series.zip).\n\n"
    "[The viewer](.) does all of this without parameters. The examples of answers here are those of the models that "
    "this version ships, to these files.\n"
)
AGAIN: Final = "Send the same again after the seconds in `Retry-After`."
DAMAGED: Final = "Export the file again from where it comes from; it may be cut short."
ORIGINAL: Final = "Send the original CT image, as the modality or the archive wrote it."
ONE_SERIES: Final = "Send the slices of one reconstruction, all of them, by themselves."
OPERATOR: Final = "The operator of this service has to look after it."
BOUND: Final = "Send less at once; `detail` has the bound, and the operator can raise it."
TENSOR: Final = "The metadata of the model say what it takes."
CLIENT: Final = "Use an ordinary HTTP client."
# By code. An answer's own `remedy` knows more of the case.
REMEDIES: Final[dict[str, str]] = {
    "empty_body": "Check that the file was attached; with curl mind the `@`.",
    "malformed_dicom": DAMAGED,
    "malformed_picture": DAMAGED,
    "malformed_form": "Let an HTTP library write the form.",
    "malformed_archive": "Check it with `unzip -t`, pack it again.",
    "malformed_text": "Send UTF-8 without control characters.",
    "malformed_json": "Correct the body; `detail` says where.",
    "malformed_content_coding": "Send the body again, or without compression.",
    "malformed_request": CLIENT,
    "one_file_expected": "Send one file as one part of the form.",
    "invalid_parameter": "Correct the parameter that `detail` names.",
    "invalid_tensor": TENSOR,
    "bad_host": CLIENT,
    "not_authorised": "Show a key or token: `Authorization: Bearer …`.",
    "forbidden": "Ask the operator for a key with the scope that `detail` names.",
    "not_found": "Check the address; this page lists them.",
    "method_not_allowed": "Use a method that `Allow` names.",
    "unknown_model": "`GET /v1/models` lists them.",
    "unknown_version": "Leave the version out, or `GET /v1/models/{name}/versions`.",
    "unfit_version": "The version that judged goes on; `detail` says what differs.",
    "version_in_use": "Let another version judge first: `PUT /v1/models/{name}/labels/stable`.",
    "versions_fixed": "The operator can switch it on for the classifier: `LUNGSCOPE_VERSIONS_DIR`.",
    "unknown_result": "Results are kept for a time only; send the series again.",
    "unknown_job": "Jobs are kept for a time only; send the series again.",
    "job_not_cancellable": "Let it be judged, and leave the result.",
    "invalid_workitem": "Correct the data set; `detail` names the attributes.",
    "transaction_uid_refused": "Send the Transaction UID by which it was claimed.",
    "workitem_ended": "Create another that replaces it.",
    "unknown_workitem": "`GET /dicom-web/workitems` lists them.",
    "workitem_exists": "`GET` it, or make another UID.",
    "workitem_conflict": "`GET` the workitem to see where it stands.",
    "workitem_gone": "They are kept for a time only; create another.",
    "no_subscriptions": "Ask again: `GET /dicom-web/workitems/{workitem}`.",
    "unknown_judgement": "Send an id as an answer has it; they are kept for a time only.",
    "not_acceptable": "Accept one of the formats that `detail` names.",
    "no_dicom_source": "Send DICOM, or ask for another format.",
    "upload_too_slow": "Send it again over a better connection.",
    "request_too_slow": "Send the headers at once.",
    "input_too_large": BOUND,
    "form_too_large": "Send a series as one zip, or less at once.",
    "archive_too_large": "Pack the files of one series, each once, with an ordinary zip program.",
    "series_too_large": "Send thicker slices, or a smaller matrix.",
    "batch_too_large": "Send fewer inputs in one request.",
    "url_too_long": "Send parameters as fields of a form.",
    "unsupported_media_type": "Send DICOM, PNG, JPEG or TIFF; `detail` says what it was.",
    "unsupported_transfer_syntax": "Transcode it, for example to Explicit VR Little Endian.",
    "unsupported_archive": "Pack the files as an ordinary zip, without a password.",
    "unsupported_charset": "Convert the text to UTF-8.",
    "unsupported_content_coding": "Send the body in gzip or deflate, or as it is.",
    "unknown_expectation": "Leave out `Expect`.",
    "unknown_host": "Call it by an address, or have the name added to `LUNGSCOPE_TRUSTED_HOSTS`.",
    "dicom_too_complex": "Export the slice again, without private and nested metadata.",
    "wrong_sop_class": "Choose the CT series of the study.",
    "wrong_modality": "Choose the CT series of the study.",
    "invalid_uid": "Send the original file: whatever changed it must write valid UIDs.",
    "localizer": "Leave scout views out.",
    "no_pixel_data": "Send the image, not its header or a report.",
    "not_hounsfield": ORIGINAL,
    "no_pixel_spacing": "State `pixel_spacing_mm`, if you know it.",
    "unsupported_pixel_format": "Send grey values of 8 or 16 bits, not a screenshot, and not to be turned by EXIF.",
    "image_size_out_of_range": "Send one whole slice at its own matrix size; check the pixel spacing.",
    "undecodable": "Send it without compression.",
    "frame_required": "Say which: `frame=1` is the first.",
    "frame_out_of_range": "Frames count from 1; `detail` says how many there are.",
    "roi_outside_image": "Give `roi` as column,row in pixels of the sent image, from 0.",
    "result_not_written": "Ask for JSON; the log says what failed.",
    "no_ct_slices": "Send the files of a CT series.",
    "too_few_slices": "Send the whole series, or single slices to `/v1/predict`.",
    "mixed_series": "Send one series at a time.",
    "mixed_geometry": ONE_SERIES,
    "no_slice_position": ORIGINAL,
    "conflicting_instances": "Send the original files: each must have its own UID.",
    "duplicate_position": "Send one reconstruction, phase or time point at a time.",
    "missing_slices": ONE_SERIES,
    "irregular_spacing": ONE_SERIES,
    "spacing_too_large": "Send the reconstruction with thin slices.",
    "gantry_tilt": "Send a reconstruction without tilt.",
    "not_axial": "Send the axial reconstruction.",
    "two_series_expected": "Send the later series as `current`, the earlier as `prior`.",
    "different_patients": "Send the prior of the same patient; `detail` says what differs.",
    "prior_after_current": "Swap the two parts.",
    "too_many_requests": AGAIN,
    "too_many_of_address": AGAIN,
    "request_head_too_large": "Send fewer and shorter headers.",
    "unknown_method": CLIENT,
    "unsupported_http_version": "Use HTTP/1.1.",
    "dicomweb_off": "The operator can switch it on: `LUNGSCOPE_SPOOL_DIR`.",
    "jobs_off": "The operator can switch them on: `LUNGSCOPE_SPOOL_DIR`; leave out `async` meanwhile.",
    "pull_off": "The operator can name an archive: `LUNGSCOPE_PULL_URL`; send the files meanwhile.",
    "feedback_off": "The operator can switch it on: `LUNGSCOPE_FEEDBACK_DIR`.",
    "second_opinion_off": "Leave out `second_opinion`.",
    "model_loading": "Wait until `/health/ready` answers 200.",
    "overloaded": AGAIN,
    "decoder_unavailable": AGAIN,
    "identity_unavailable": AGAIN,
    "too_many_connections": AGAIN,
    "spool_full": AGAIN,
    "storage_unavailable": OPERATOR,
    "storage_full": OPERATOR,
    "audit_unavailable": OPERATOR,
    "audit_full": OPERATOR,
    "internal_error": "A bug: report it with the request id. To send it once again does no harm.",
}


def description() -> str:
    """The description of the service, in Markdown."""
    of_http = (ProblemType(HTTPStatus(status), code, HTTPStatus(status).phrase) for status, code in HTTP_CODES.items())
    return INTRODUCTION + _errors([*PROBLEMS.values(), INTERNAL, *of_http])


def _errors(kinds: Iterable[ProblemType]) -> str:
    rows = [
        f"| {kind.status.value} | `{kind.code}` | {kind.title} | {REMEDIES[kind.code]} |"
        for kind in sorted(kinds, key=lambda kind: (kind.status, kind.code))
    ]
    head = "| status | code | title | what to do |\n|---|---|---|---|"
    summary = f"<summary>All {len(rows)} errors, and what to do about each</summary>"
    return "\n".join(["\n### Errors\n\n<details>" + summary + "\n", head, *rows, "\n</details>\n"])
