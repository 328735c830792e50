//! Frames to mp4 and back, and thumbnails
