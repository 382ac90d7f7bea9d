"""The HTTP side: routes, middleware, authentication, uploads and downloads. Imports no torch."""
