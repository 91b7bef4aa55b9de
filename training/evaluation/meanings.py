"""What each figure means, in a line; the card and the report print it beside the value."""

from __future__ import annotations

from training.data.nodules import TRAIT_SCALES
from training.evaluation.coverage import BINS, CLASSES

USEFULNESS = {
    "auc": "suspicious against benign",
    "auc_diameter_alone": "baseline: the nodule's diameter and nothing else",
    "auc_gain_over_diameter": "difference of the two, paired by resample",
    "auc_logistic_patch": "baseline: logistic regression on the patch averaged to 12 x 12 pixels, same folds",
    "auc_gain_over_logistic_patch": "difference, paired by resample",
    "auprc": "area under precision and recall; chance is suspicious_share",
    "auprc_diameter_alone": "baseline",
    "auprc_logistic_patch": "baseline",
    "suspicious_share": "share of suspicious nodules among those measured",
    "size_matched_auc": "pairs whose diameters differ by at most the configured millimetre: what is seen beyond size",
    "size_matched_auc_diameter_alone": "baseline on the same pairs",
    "size_matched_auc_logistic_patch": "baseline on the same pairs",
    "auc_calcified": "lesions with calcium: readers' mean rating of it below 5.5, where 6 is none",
    "auc_not_calcified": "lesions without",
    "size_matched_auc_calcified": "pairs of like size, both with calcium",
    "size_matched_auc_not_calcified": "pairs of like size, both without: beyond size readers share little there",
    "benign_called_calcified": "benign lesions with calcium at or above the operating point",
    "benign_called_not_calcified": "benign lesions without calcium at or above the operating point",
    "auc_any_patch": "every patch of decided lesions, not one a lesion; older figures are of patches",
    "auc_diameter_alone_any_patch": "baseline there",
    "size_matched_auc_any_patch": "every patch of decided lesions, pairs of like size",
    "size_matched_auc_diameter_alone_any_patch": "baseline there",
    "auc_one_reader": "one reader's rating for the others' median above 3 rather than below; ratings tie often",
    "auc_against_other_readers": "the network on the same pairs of nodule and reader",
    "auc_gain_over_one_reader": "difference, paired by resample",
    "size_matched_auc_one_reader": "one reader's rating among pairs of like size: what the label itself carries there",
    "size_matched_auc_against_other_readers": "the network on the same pairs of nodule and reader",
    "size_matched_auc_gain_over_one_reader": "difference, paired by resample",
    **{
        f"size_matched_auc_{what}_{kind}": f"{meaning}, nodules {kind.replace('_', ' ')}"
        for kind in ("calcified", "not_calcified")
        for what, meaning in (
            ("one_reader", "one reader's rating among pairs of like size"),
            ("against_other_readers", "the network on the same pairs of nodule and reader"),
            ("gain_over_one_reader", "difference, paired by resample"),
        )
    },
    "icc_malignancy": "intraclass correlation of one reader's rating, indeterminate nodules included; 1 is agreement",
    "icc_malignancy_given_size": "the same of what ln(diameter) and its square leave over: shared beyond size",
    "icc_malignancy_given_size_not_calcified": "the same, nodules without calcium",
    "sensitivity": "at the operating point",
    "specificity": "at the operating point",
    "sensitivity_diameter_alone": "baseline, its threshold chosen in the same way",
    "specificity_diameter_alone": "baseline, its threshold chosen in the same way",
    "auc_with_indeterminate": "suspicious against all others, the indeterminate ones included",
    "auc_diameter_alone_with_indeterminate": "baseline there",
    "specificity_with_indeterminate": "at the operating point, all others included",
    "indeterminate_called_suspicious": "indeterminate nodules at or above the operating point",
    "auc_any_readers": "suspicious against benign, nodules with fewer readers included",
    "auc_diameter_alone_any_readers": "baseline there",
    "case_auc": "patients: any nodule suspicious against all benign, by the nodule that scores highest",
    "case_auc_diameter_alone": "baseline there: the largest nodule's diameter",
    "case_sensitivity": "patients with a suspicious nodule of whom any nodule is called, at the operating point",
    "case_specificity": "patients with benign nodules only of whom none is called",
    "dice": "overlap with one reader's outline, all patches",
    "dice_reader_and_reader": "baseline: two readers' outlines on the same slice",
    "dice_consensus": "overlap with what at least half of three readers and more hold for nodule",
    "dice_reader_and_consensus": "baseline: a reader's outline with what at least half of the others hold for nodule",
    "diameter_error_mm": "mean absolute difference to one reader's outline",
    "diameter_bias_mm": "mean difference, positive when drawn too large",
}
TRAITS = {
    f"{kind}_{name}": meaning
    for name in ("malignancy", *TRAIT_SCALES)
    for kind, meaning in (
        ("spearman", "rank correlation with the readers' mean"),
        ("spearman_one_reader", "baseline: one reader with the mean of the others; ratings tie often"),
        ("spearman_against_other_readers", "the network on the same pairs of nodule and reader"),
        ("spearman_gain_over_one_reader", "difference, paired by resample"),
    )
}
PATHOLOGY = {
    f"pathology_{name}_auc{suffix}": f"benign against {words}, patients: {meaning}"
    for name, words in (("primary", "primary lung cancer"), ("malignant", "any cancer"))
    for suffix, meaning in (
        ("", "by the nodule that scores highest"),
        ("_diameter_alone", "by the largest nodule's diameter"),
        ("_readers", "by the highest mean rating of the readers"),
        ("_gain_over_diameter", "network less diameter, paired by resample"),
        ("_readers_gain_over_diameter", "readers less diameter, paired by resample"),
    )
}
SAFETY = {
    "brier": "mean squared error of the probability",
    "ece": "mean gap between stated and observed probability; a test is whether it exceeds ece_if_perfect's limit",
    "ece_if_perfect": "the same of a model that is exactly right, by chance at this n: mean, and 0 to its 95 % limit",
    "calibration_slope": "of the observed logit on the stated one; 1 where calibrated, below where too extreme",
    "coverage_suspicious": "suspicious nodules whose prediction set holds that label",
    "coverage_benign": "benign nodules whose prediction set holds that label",
    **{
        f"coverage_{of_class}_{size.name}": f"{of_class} nodules {size.words} of soft diameter, the size that sets take"
        for of_class in CLASSES
        for size in BINS
    },
    "set_size": "mean number of labels in a prediction set, 0 to 2",
    "set_size_with_indeterminate": "the same, indeterminate nodules included",
    "decided": "nodules that are not answered with indeterminate",
    "correct_when_decided": "of those, answered as the readers' median did",
    "nodule_auc": "nodules against places beside them in the same patches",
    "nodules_kept": "nodules at or above the nodule threshold",
    "negatives_refused": "places beside nodules below it (some chosen on vessels, ribs and pleura)",
    "negatives_called": "the same places at or above the operating point: what would be called, were it a nodule",
    "negatives_kept_and_called": "of these places, taken for a nodule and called",
    "evidence_peak_in_outline": "suspicious nodules whose evidence peaks inside what half of the readers outlined",
    "evidence_outweighs_chance": "of these, lung in place of the highest fifth of the map costs more than elsewhere",
    "in_distribution": "nodules accepted as in distribution",
    "nodules_rejected": "nodules rejected as no nodule or as out of distribution",
    "luna_nodule_auc": "LUNA16 candidates, nodule or not",
    "luna_nodules_kept": "at the nodule threshold",
    "luna_negatives_refused": "at the nodule threshold",
    "luna_negatives_called": "LUNA16 negatives at or above the operating point: what would be called, were it a nodule",
    "luna_negatives_kept_and_called": "LUNA16 negatives taken for a nodule and called",
}
MEANINGS = USEFULNESS | TRAITS | PATHOLOGY | SAFETY
