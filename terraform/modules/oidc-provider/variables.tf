variable "url" {
  description = "Issuer of the tokens: https://token.actions.githubusercontent.com, https://gitlab.com, or that of an EKS cluster."
  type        = string

  validation {
    condition     = can(regex("^https://[a-z0-9.-]+(/[A-Za-z0-9._/-]*[A-Za-z0-9])?$", var.url))
    error_message = "\"${var.url}\" is no issuer: it begins with https:// and has no slash at its end."
  }
}

variable "thumbprints" {
  description = "SHA-1 of the top certificate, for an issuer whose certificate is of a private authority. Null: AWS asks the issuer itself."
  type        = list(string)
  default     = null
}
