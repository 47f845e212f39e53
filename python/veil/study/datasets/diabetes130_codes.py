"""Code book of diabetes130: the file's ``IDs_mapping.csv``, and ICD-9 groups of Strack et al. 2014.

Every list here is public documentation of the data set, so private methods may use it.
"""

__all__ = [
    "AGES",
    "DEAD_OR_HOSPICE",
    "RECODED",
    "VERBATIM",
    "diagnosis_group",
    "specialty_group",
]

DEAD_OR_HOSPICE = frozenset({"11", "13", "14", "19", "20", "21"})
AGES = {f"[{low}-{low + 10})": low + 5.0 for low in range(0, 100, 10)}


def _codes(**groups: str) -> dict[str, str]:
    """Map each code to its group; codes that say "unknown" stay out and count as missing."""
    return {c: g.replace("_", "-") for g, codes in groups.items() for c in codes.split()}


# Feature: (raw column, code -> category).
RECODED = {
    "race": (
        "race",
        {r: r for r in ("Caucasian", "AfricanAmerican", "Hispanic", "Asian", "Other")},
    ),
    "gender": ("gender", {"Female": "Female", "Male": "Male"}),
    "admission_type": (
        "admission_type_id",
        _codes(emergency="1", urgent="2", elective="3", other="4 7"),
    ),
    "discharge": (
        "discharge_disposition_id",
        _codes(
            home="1",
            home_care="6 8",
            transferred="2 3 4 5 10 15 16 17 22 23 24 27 28 29 30",
            other="7 9 12",
        ),
    ),
    "admission_source": (
        "admission_source_id",
        _codes(
            referral="1 2 3",
            emergency_room="7",
            transfer="4 5 6 10 18 19 22 25 26",
            other="8 11 12 13 14 23 24",
        ),
    ),
}
VERBATIM = (
    "max_glu_serum",
    "A1Cresult",
    "metformin",
    "glipizide",
    "glyburide",
    "pioglitazone",
    "rosiglitazone",
    "insulin",
    "change",
    "diabetesMed",
)

_SPECIALTIES = {
    "?": "unspecified",
    "InternalMedicine": "internal-medicine",
    "Emergency/Trauma": "emergency",
    "Family/GeneralPractice": "general-practice",
    "Cardiology": "cardiology",
}


def specialty_group(specialty: str) -> str:
    """Return the site of an admitting specialty.

    Parameters
    ----------
    specialty : str
        The file's ``medical_specialty``.

    Returns
    -------
    str
        One of seven groups.
    """
    if specialty in _SPECIALTIES:
        return _SPECIALTIES[specialty]
    surgical = specialty.startswith(("Surg", "Orthop"))
    return "surgery" if surgical else "other-specialty"


_ICD9 = (
    ("circulatory", 390, 459, 785),
    ("respiratory", 460, 519, 786),
    ("digestive", 520, 579, 787),
    ("injury", 800, 999, None),
    ("musculoskeletal", 710, 739, None),
    ("genitourinary", 580, 629, 788),
    ("neoplasm", 140, 239, None),
)


def diagnosis_group(code: str) -> str:
    """Return the group of an ICD-9 code, as in table 2 of Strack et al. 2014.

    Parameters
    ----------
    code : str
        An ICD-9 code, or ``?``.

    Returns
    -------
    str
        A group; ``other`` for external causes and the rest, empty when missing.
    """
    if code == "?":
        return ""
    if code[0] in "EV":
        return "other"
    chapter = int(float(code))
    if chapter == 250:
        return "diabetes"
    for name, first, last, symptom in _ICD9:
        if first <= chapter <= last or chapter == symptom:
            return name
    return "other"
