//! The contracts between services: generated code and the descriptor set
