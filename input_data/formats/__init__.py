"""Readers and writers of file formats: IDX, TFRecords, MATLAB, NumPy, CSV and pickle files, and pictures."""
