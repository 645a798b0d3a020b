//! Native plugins: found, checked, loaded, driven, recorded.
