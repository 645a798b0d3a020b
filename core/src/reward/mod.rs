//! Objectives -> scores [B, M].
