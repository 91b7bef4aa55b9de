"""The development data's scans and what reading each must give; folders are those of its README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import InputError, InvalidUid, MalformedDicom, UnsupportedMediaType, WrongSopClass


@dataclass(frozen=True, slots=True)
class ReferenceScan:
    """A file that reads: extremes in HU (exact), mean in HU (within 0.01), spacing in mm, and the error codes of
    the quality checks that keep it from being judged."""

    path: str
    low_hu: float
    high_hu: float
    mean_hu: float
    spacing_mm: float
    unfit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One transfer syntax of the same slice: the largest and the mean deviation in HU from the original."""

    uid: str
    max_error_hu: float = 0.0
    mean_error_hu: float = 0.0


VARIANTS_ORIGINAL: Final = ReferenceScan("dicom-variants/CTImage.dcm", -3024, 1378, -949.076, 0.675781, ("no_lung",))
LOSSLESS_VARIANTS: Final = tuple(
    Variant(f"1.2.840.10008.1.2.{tail}") for tail in ("1", "1.99", "2", "4.57", "4.70", "4.80", "4.90", "5")
)
LOSSY_VARIANTS: Final = (
    # Near-lossless with NEAR = 1: no value is off by more (T.87).
    Variant("1.2.840.10008.1.2.4.81", 1, 0.7),
    # Wavelets at 3.8:1; no bound in the format, so what this file deviates by.
    Variant("1.2.840.10008.1.2.4.91", 5, 0.6),
    # 12 bits at 2 HU each, then 7:1: what these files deviate by. The three hold the same coefficients.
    Variant("1.2.840.10008.1.2.4.51", 36, 3.9),
    Variant("1.2.840.10008.1.2.4.53", 36, 3.9),
    Variant("1.2.840.10008.1.2.4.55", 36, 3.9),
    # 8 bits at 32 HU each (16 off by rounding alone), then 31:1; the largest at the edge of the padding.
    Variant("1.2.840.10008.1.2.4.50", 560, 27),
)
SAME_COEFFICIENTS: Final = ("1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.53", "1.2.840.10008.1.2.4.55")

ABDOMEN: Final = "not-lung-ct/CT_abdomen_CT.1.3.12.2.1107.5.1.4.60064.300000221208081134280000"
SERIES: Final = (
    ReferenceScan("series/lidc-0012/1-062.dcm", -2048, 1211, -821.6102, 0.742188),
    ReferenceScan("series/cptac-c3n-00247/000060.dcm", -1024, 3071, -203.8628, 0.564453125),
)
UNFIT: Final = (
    ReferenceScan(f"{ABDOMEN}16582.dcm", -1024, 1445, -622.885, 0.9765625, ("no_lung",)),
    ReferenceScan(f"{ABDOMEN}16591.dcm", -1024, 1396, -628.871, 0.9765625, ("no_lung",)),
    ReferenceScan("not-lung-ct/CT_head_01.dcm.dcm", -1024, 1712, -537.164, 0.4882812, ("no_lung",)),
    ReferenceScan("not-lung-ct/CT_head_15.dcm.dcm", -1024, 1735, -475.092, 0.4882812, ("no_lung",)),
    ReferenceScan("not-lung-ct/CT_head_28.dcm.dcm", -1024, 1032, -845.129, 0.4882812, ("no_lung",)),
    # Signed in its codestream, unsigned in its header: the sign bit decides.
    ReferenceScan("malformed/J2K_pixelrep_mismatch.dcm", -2000, 1896, -658.437, 0.431, ("not_axial", "no_lung")),
)
REFUSED: Final[dict[type[InputError], tuple[str, ...]]] = {
    UnsupportedMediaType: ("not-lung-ct/CT_abdomen_LICENSE.dcm",),
    MalformedDicom: (
        "not-lung-ct/OT_pydicom-data_OT-PAL-8-face.dcm",
        "malformed/ExplVR_BigEndNoMeta.dcm",
        "malformed/ExplVR_LitEndNoMeta.dcm",
    ),
    InvalidUid: ("malformed/bad_sequence.dcm",),  # hexadecimal digests in place of UIDs
    WrongSopClass: (
        *(
            f"not-lung-ct/{name}.dcm"
            for name in (
                "CR_pydicom-data_RG1_J2KI",
                "CR_pydicom-data_RG3_J2KI",
                "CR_pydicom-data_RG3_J2KR",
                "CT_dcm_qa_ct_I10",
                "CT_dcm_qa_ct_I20",
                "CT_dcm_qa_ct_I30",
                "DX_highdicom_dx_image",
                "MR_dcmqi_pm-example-slice",
                "MR_pydicom-data_MR-SIEMENS-DICOM-WithOverlays",
                "MR_pydicom-data_MR2_J2KI",
                "MR_pydicom-data_MR2_J2KR",
                "NM_pydicom-data_JPEG-LL",
                "NM_pydicom-data_JPEG2000_UNC",
                "OT_pydicom-data_SC_rgb",
                "OT_pydicom-data_SC_rgb_16bit",
                "SEG_dcmqi_liver",
                "SEG_dcmqi_partial_overlaps",
                "SEG_dcmqi_seg",
                "SEG_highdicom_seg_image_cr_binary",
                "SEG_highdicom_seg_image_ct_binary",
                "SEG_highdicom_seg_image_ct_binary_fractional",
                "SEG_pydicom-data_liver",
                "SEG_pydicom-data_liver_deflate",
                "SEG_pydicom-data_liver_expb",
                "SM_highdicom_sm_image",
                "SM_highdicom_sm_image_control",
                "SM_highdicom_sm_image_dots",
                "US_pydicom-data_JPGLosslessP14SV1_1s_1f_8b",
                "US_pydicom-data_OBXXXX1A",
                "US_pydicom-data_OBXXXX1A_2frame",
            )
        ),
        *(
            f"malformed/{name}.dcm"
            for name in (
                "ExplVR_BigEnd",
                "MR-SIEMENS-DICOM-WithOverlays",
                "MR_truncated",
                "SC_rgb_gdcm_KY",
                "SC_rgb_small_odd",
                "SC_rgb_small_odd_big_endian",
                "SC_rgb_small_odd_jpeg",
                "badVR",
                "examples_overlay",
                "liver",
                "liver_1frame",
                "liver_deflate",
                "liver_expb",
                "liver_expb_1frame",
                "liver_j2k",
                "liver_nonbyte_aligned",
                "liver_nonbyte_aligned_deflate",
                "liver_nonbyte_aligned_j2k",
                "liver_nonbyte_aligned_rle",
                "liver_rle",
                "reportsi_with_empty_number_tags",
                "rtplan_truncated",
            )
        ),
    ),
}
