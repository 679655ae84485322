//! The client data path: listener, session loop, pools, relay.
