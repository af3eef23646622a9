"""De-identification: templates that are filled with invented identifiers, and surrogates for those found in texts."""

LABELS = (
    "ADRESSE",
    "DATE",
    "DATE_NAISSANCE",
    "HOPITAL",
    "IPP",
    "MAIL",
    "NDA",
    "NOM",
    "PRENOM",
    "SECU",
    "TEL",
    "VILLE",
    "ZIP",
)
