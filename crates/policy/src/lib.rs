//! Every routing decision, as total functions of values and `now`.
