"""Jobs from acceptance to their result: store, scheduler, runner, events, files and webhooks. Imports no torch."""
