"""From images arriving to rows in a sink."""
