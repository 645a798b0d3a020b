//! moa-sdk
