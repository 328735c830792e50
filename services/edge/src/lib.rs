//! The HTTP front of the mesh
