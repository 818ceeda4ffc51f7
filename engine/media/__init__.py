"""Pictures, sound and video files, by PyAV, numpy and OpenCV."""
