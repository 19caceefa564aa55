"""Readers and writers of file formats: IDX, TFRecords, MATLAB files, pictures."""
