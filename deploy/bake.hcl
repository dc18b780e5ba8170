# Builds the image for all its platforms, with its bill of materials and provenance:
#
#   IMAGES=registry.example.org/smtprelay:0.2.0 docker buildx bake --file deploy/bake.hcl --push
#
# docs/container.md describes the variables.

# Names to publish, with commas between them.
variable "IMAGES" {
  default = "smtprelay"
}

# Debian 13: an image of a certain day, or with its digest.
variable "BASE" {
  default = "debian:trixie-slim"
}

# The state of Debian's archive to take packages from. By default it is today's.
variable "SNAPSHOT" {
  default = ""
}

# The time, in seconds since 1970, of the image and of the files that are not older.
variable "SOURCE_DATE_EPOCH" {
  default = "1767225600"
}

# The commit.
variable "REVISION" {
  default = ""
}

# The URL of the source.
variable "SOURCE" {
  default = ""
}

# The URL of the documentation.
variable "DOCUMENTATION" {
  default = ""
}

target "image" {
  context = "."
  tags    = split(",", IMAGES)
  args = {
    BASE              = BASE
    SNAPSHOT          = SNAPSHOT
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
  labels = {
    "org.opencontainers.image.base.name"     = split("@", BASE)[0]
    "org.opencontainers.image.base.digest"   = length(split("@", BASE)) > 1 ? split("@", BASE)[1] : null
    "org.opencontainers.image.created"       = timeadd("1970-01-01T00:00:00Z", "${SOURCE_DATE_EPOCH}s")
    "org.opencontainers.image.revision"      = REVISION != "" ? REVISION : null
    "org.opencontainers.image.source"        = SOURCE != "" ? SOURCE : null
    "org.opencontainers.image.documentation" = DOCUMENTATION != "" ? DOCUMENTATION : null
  }
}

# The image for all platforms.
target "default" {
  inherits  = ["image"]
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386"]
  output    = ["type=image,rewrite-timestamp=true"]
  attest    = ["type=provenance,mode=max", "type=sbom"]
}

# The image for this machine, loaded into its Docker.
target "local" {
  inherits = ["image"]
  output   = ["type=docker,rewrite-timestamp=true"]
}
