"""DICOMweb (PS3.18): what comes in by STOW-RS, what QIDO-RS and WADO-RS find."""
