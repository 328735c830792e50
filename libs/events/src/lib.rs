//! Job events from those who write them to those who watch
