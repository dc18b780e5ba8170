"""What is carried: envelopes, bodies, outcomes, headers and reports. Imports only mta.smtp."""
