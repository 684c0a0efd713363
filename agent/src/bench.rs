//! For this project's own benches; not part of the API.

/// Stops measuring, as if `init` had not been called yet. Propagation goes on.
pub fn pause() {
    crate::state::stop_measuring();
}

/// Measures again, once an agent runs.
pub fn resume() {
    crate::state::start_measuring();
}
