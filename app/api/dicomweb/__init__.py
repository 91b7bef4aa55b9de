"""DICOMweb (PS3.18): receives series by STOW-RS, offers results by QIDO-RS and WADO-RS."""
