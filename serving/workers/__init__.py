"""Ray Serve deployments that hold the model, and the way to reach them."""
