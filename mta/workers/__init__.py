"""More than one core: a parent, its workers, and the limits that they share."""

#: Seconds that a worker has to stop: for the grace of running deliveries, for QUIT, and for one or two fsyncs.
STOP_SECONDS = 20.0
