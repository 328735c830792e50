//! The kinora command
