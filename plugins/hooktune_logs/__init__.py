"""The bundled readers of logs, a module for each kind of source."""
